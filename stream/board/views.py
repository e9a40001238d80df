"""What the board's API answers: plain shapes, encoded as JSON. SOH is a fraction; NaN becomes null."""

from __future__ import annotations

import msgspec

from stream.records import Alert, AlertKind, Prediction


class TruthError(msgspec.Struct, frozen=True):
    """How far predictions were from the known SOH; only where the truth is known, as in the demo."""

    predictions: int
    mae: float
    coverage_90: float


class Summary(msgspec.Struct, frozen=True):
    """The fleet in a few numbers. ``x`` says what a step counts: ``cycle`` or ``step``.

    ``cells_flagged`` leaves out flags that ask for no look: ``insufficient_data`` and ``censored``.
    """

    predictions: int
    predictions_per_s: float
    packs: int
    cells: int
    cells_with_soh: int
    cells_below_eol: int
    cells_flagged: int
    soh_median: float
    eol_soh: float
    x: str
    model: str | None
    last_prediction_age_s: float | None
    repeated: int
    not_shown: int
    truth: TruthError | None


class Histogram(msgspec.Struct, frozen=True):
    """Cells by SOH: ``counts[i]`` cells lie in ``[low + i * width, low + (i + 1) * width)``; the ends take the rest."""

    low: float
    width: float
    counts: list[int]


class CellRow(msgspec.Struct, frozen=True):
    """One cell in a table. ``soh`` and ``rul_cycles`` are ``[p05, p50, p95]`` or null."""

    pack_id: str
    cell: int
    soh: list[float] | None
    rul_cycles: list[float] | None
    trend_per_100: float
    flags: list[str]


class PackColumns(msgspec.Struct, frozen=True):
    """One pack in the snapshot, a value for each cell position: median SOH, median RUL, bits of ``flag_names``."""

    soh: list[float]
    rul_cycles: list[float]
    flags: list[int]


class Alerts(msgspec.Struct, frozen=True):
    """How many alerts stand, by kind, and the newest of them, as published."""

    standing: dict[AlertKind, int]
    newest: list[Alert]


class Snapshot(msgspec.Struct, frozen=True):
    """The whole fleet, compact. Deltas with a greater ``seq`` come after it."""

    seq: int
    flag_names: list[str]
    packs: dict[str, PackColumns]
    summary: Summary
    histogram: Histogram
    weakest: list[CellRow]
    alerts: Alerts


class PackView(msgspec.Struct, frozen=True):
    """One pack: its spread and its cells, the weakest first."""

    pack_id: str
    cells: int
    cells_with_soh: int
    soh_min: float
    soh_median: float
    soh_max: float
    soh_spread: float
    weakest: list[CellRow]


class Curve(msgspec.Struct, frozen=True):
    """A cell's past, thinned; ``truth`` is null unless known."""

    x: list[float]
    p05: list[float]
    p50: list[float]
    p95: list[float]
    truth: list[float] | None


class CellView(msgspec.Struct, frozen=True):
    """One cell: its newest prediction as published, its past, its place in its pack, and the alerts that stand."""

    pack_id: str
    cell: int
    x: str
    prediction: Prediction
    curve: Curve
    trend_per_100: float
    pack_soh_median: float
    alerts: list[Alert]
