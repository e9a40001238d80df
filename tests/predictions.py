"""Predictions made by hand, for tests of what reads them."""

from __future__ import annotations

from stream.records import Horizon, Interval, Origin, Prediction, RemainingLife


def predict(
    pack_id: str = "P1",
    cell: int = 0,
    step: int = 1,
    soh: float | None = 0.95,
    rul_cycles: float | None = 400.0,
    *,
    flags: tuple[str, ...] = (),
    t_ms: int | None = None,
    cycle: bool = True,
) -> Prediction:
    """A prediction whose intervals are 0.01 of SOH and a tenth of the RUL to each side, of a 5 Ah cell."""
    return Prediction(
        v=1,
        pack_id=pack_id,
        cell=cell,
        t_ms=1_731_000_000_000 + 1000 * step if t_ms is None else t_ms,
        step=step,
        cycle=step if cycle else None,
        flags=list(flags) if soh is not None else ["insufficient_data", *flags],
        model="cycle-lstm@0123456789ab",
        source=Origin("bms.telemetry", 3, 9000 + step),
        soh=None if soh is None else Interval(soh - 0.01, soh, soh + 0.01),
        capacity_ah=None if soh is None else Interval(5 * soh - 0.05, 5 * soh, 5 * soh + 0.05),
        horizons=None if soh is None else [Horizon(200, Interval(5 * soh - 0.6, 5 * soh - 0.4, 5 * soh - 0.2))],
        rul_cycles=None
        if soh is None or rul_cycles is None
        else RemainingLife(0.9 * rul_cycles, rul_cycles, 1.1 * rul_cycles, 0.8),
    )
