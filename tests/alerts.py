"""Alerts and roll-ups made by hand, for tests of what reads them."""

from __future__ import annotations

from stream.records import Alert, AlertKind, Interval, Origin, PackRollup, RemainingLife, WeakCell

MODEL = "cycle-lstm@0123456789ab"


def alert(
    pack_id: str = "P1",
    cell: int = 0,
    kind: AlertKind = AlertKind.OUTLIER,
    step: int = 1,
    *,
    raised: bool = True,
    t_ms: int | None = None,
) -> Alert:
    """An alert that begins, or is over, a second later with each step."""
    return Alert(
        v=1,
        pack_id=pack_id,
        cell=cell,
        kind=kind,
        raised=raised,
        t_ms=1_731_000_000_000 + 1000 * step if t_ms is None else t_ms,
        step=step,
        reason=f"{kind} at step {step}" if raised else "over for 3 predictions",
        model=MODEL,
        source=Origin("bms.telemetry", 3, 9000 + step),
    )


def rollup(pack_id: str = "P1", soh: float | None = 0.9, weakest: int = 0, **alerts: int) -> PackRollup:
    """A pack of eight cells; ``alerts`` by kind. Its intervals are 0.01 of SOH and 10 cycles to each side."""
    interval = None if soh is None else Interval(soh - 0.01, soh, soh + 0.01)
    return PackRollup(
        v=1,
        pack_id=pack_id,
        t_ms=1_731_000_000_000,
        cells=8,
        answered=0 if interval is None else 8,
        alerts={AlertKind(kind): count for kind, count in alerts.items()},
        weakest=[] if interval is None else [WeakCell(weakest, interval)],
        model=MODEL,
        source=Origin("bms.telemetry", 3, 9000),
        soh=interval,
        soh_median=soh,
        soh_spread=None if soh is None else 0.05,
        rul_cycles=None if soh is None else RemainingLife(90.0, 100.0, 110.0, 0.8),
        p_warranty=None if soh is None else 0.25,
    )
