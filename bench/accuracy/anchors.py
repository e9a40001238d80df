"""What others published, or what was measured before with other models: facts to stand beside, each with its caveat."""

from __future__ import annotations

ANCHORS = {
    "SOH now, XJTU": "PINN4SOH 2C .70, 3C 1.13, R2.5 .86, R3 .71, RW 1.05, Sim .63 % (leaky: scaled over the test cell "
    "by its whole life with the cycle index, outliers dropped by capacity); causal ExtraTrees .60 .73 .58 1.28 .52 .69",
    "SOH and RUL at every cycle, HUST": "SOH: PINN4SOH .78 % (leaky, as for XJTU), causal ExtraTrees 1.07-1.50; "
    "RUL: Ma 2022 181-184, PEAT 160.6 (abstract), ExtraTrees 153, dummy 329 cycles (55 train, 22 test cells)",
    "RUL at every cycle, HUST": "ExtraTrees with past capacity 106 cycles (55 train, 22 test cells)",
    "SOH now, NASA": "leave-one-out over cells 5 6 7 18: MAE 2.2 % of 2 Ah; cell 18 is not in the data here",
    "RUL from 17 cycles, NASA": "Transformer RE .179, AttMoE .200 (published code stops training on the test metric); "
    "mean curve without learning .264; all with cell 18, which is not in the data here",
    "capacity at 500 from 300, MIT": "ExtraTrees .38 %",
    "capacity at 500 from 100, MIT": "ExtraTrees .81 %",
    "capacity at 1000 from 300, HUST": "ExtraTrees .95 %",
    "cycle life from 100 cycles": "BatLiNet 63, BatteryML LSTM 119, Severson variance model 138, Attia PCR 97, PLSR "
    "100 cycles (MATR1)",
}
