"""SOH from one charge of a cell of unknown past: it begins somewhere and ends full."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.folds import by_cell
from bench.accuracy.gaussian import Gaussian
from bench.accuracy.lstm import Lstm
from bench.accuracy.protocol import Goal, Protocol
from bench.accuracy.ridge import Ridge

RATED_AH = 2.5
LAST_S = (60.0, 120.0, 300.0, 600.0)  # before the end of constant current
PLATEAU = 0.97  # of the largest current: below, the charge is at constant voltage
SEQUENCE = 24  # moments of the charge that a sequence model reads


def charge_cells(folder: Path) -> list[Cell]:
    """One row a cell: after its first charge, before the discharge that measures it. Copy-last is the rated 2.5 Ah."""
    found = []
    for path in sorted((folder / "a123_lfp71").glob("*.cycles.parquet")):
        series = pq.read_table(path.with_name(path.name.replace(".cycles", "")))
        first = (series["cycle"].to_numpy() == 1) & (np.asarray(series["step"].to_pylist()) == "charge")
        time_s, voltage_v, current_a = (
            series[name].to_numpy()[first].astype(np.float64) for name in ("test_time_s", "voltage_v", "current_a")
        )
        truth = np.full((1, 1), pq.read_table(path)["soh"][0].as_py())
        steps = charge_steps(time_s, voltage_v, current_a)
        found.append(
            Cell(
                cell_id=path.name.split(".")[0],
                group="a123",
                steps=steps,
                at=np.array([len(steps) - 1]),
                cycle=np.array([0]),
                truth=truth,
                anchor=np.zeros((1, 1)),
                copied=np.ones((1, 1)),
                drawn=np.full((1, 1), np.nan),
            )
        )
    return found


def charge_steps(time_s: Floats, voltage_v: Floats, current_a: Floats) -> Floats:
    """The charge at `SEQUENCE` moments of its last Ah [24, 2 + 11]: voltage and current; and, at the last alone,
    figures of the whole: voltage some time before constant voltage, charge and time of that, its halving time, charge
    in all, first voltage, the jump of the voltage in the first seconds over the current.
    """
    interval_h = np.diff(time_s, prepend=time_s[0]) / 3600.0
    charge_ah = np.cumsum(current_a * interval_h)
    full_a = np.quantile(current_a, 0.9)
    held = np.flatnonzero(current_a >= PLATEAU * full_a)
    knee = int(held[-1])
    before = [voltage_v[knee] - np.interp(time_s[knee] - back, time_s, voltage_v) for back in LAST_S]
    after = current_a[knee:]
    halved = int(np.argmax(after <= 0.5 * full_a)) if (after <= 0.5 * full_a).any() else len(after) - 1
    figures = [
        *before,
        charge_ah[-1] - charge_ah[knee],
        np.log1p(time_s[-1] - time_s[knee]),
        np.log1p(time_s[knee + halved] - time_s[knee]),
        charge_ah[-1],
        voltage_v[0],
        (voltage_v[min(5, len(voltage_v) - 1)] - voltage_v[0]) / max(full_a, 0.1),
        voltage_v[knee],
    ]
    moments = np.linspace(charge_ah[-1] - 0.4 * RATED_AH, charge_ah[-1], SEQUENCE)
    read = np.stack((np.interp(moments, charge_ah, voltage_v), np.interp(moments, charge_ah, current_a)), 1)
    whole = np.full((SEQUENCE, len(figures)), np.nan)
    whole[-1] = figures
    return np.concatenate((read, whole), 1)


_FIGURES = tuple(range(2, 13))
A123 = Protocol(
    name="SOH from one charge, A123",
    track="B",
    data="a123_lfp71",
    cells=charge_cells,
    split=by_cell(5),
    learners=(
        Gaussian("gp", _FIGURES),
        Ridge("ridge", _FIGURES),
        Lstm(window=SEQUENCE, hidden=16, updates=300, jitter=0.1),
    ),
    goals=(Goal("soh", "mape_pct", "%"),),
    inner=4,
)
