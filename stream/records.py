"""The records on the wire, version 1. New fields may be added; none is renamed or removed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

MAX_CELLS = 1024

PackId = Annotated[str, Meta(min_length=1, max_length=256)]
TimeMs = Annotated[int, Meta(ge=0, le=2**53)]
CycleNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Readings = Annotated[list[float | None], Meta(max_length=MAX_CELLS)]
Positive = Annotated[float, Meta(gt=0)]


class PackFrame(msgspec.Struct, tag_field="kind", tag="pack", frozen=True, gc=False, omit_defaults=True):
    """All cells of one series string at one instant. ``current_a`` is positive when charging; ``null`` is invalid."""

    pack_id: PackId
    t_ms: TimeMs
    current_a: float
    voltage_v: Annotated[Readings, Meta(min_length=1)]
    temp_degc: Readings | None = None
    cycle: CycleNumber | None = None
    capacity_ah: Positive | None = None
    nominal_capacity_ah: Positive | None = None
    soc_pct: float | None = None
    late: bool = False
    v: Literal[1] | UnsetType = UNSET


class CellSample(msgspec.Struct, tag_field="kind", tag="cell", frozen=True, gc=False, omit_defaults=True):
    """One cell at one instant."""

    pack_id: PackId
    cell: Annotated[int, Meta(ge=0, lt=MAX_CELLS)]
    t_ms: TimeMs
    current_a: float
    voltage_v: float
    temp_degc: float | None = None
    cycle: CycleNumber | None = None
    capacity_ah: Positive | None = None
    nominal_capacity_ah: Positive | None = None
    soc_pct: float | None = None
    late: bool = False
    v: Literal[1] | UnsetType = UNSET


Telemetry = PackFrame | CellSample


class Interval(msgspec.Struct, frozen=True, gc=False):
    """A predicted value: its median and the bounds of its 90 % interval."""

    p05: float
    p50: float
    p95: float


class Horizon(msgspec.Struct, frozen=True, gc=False):
    """The capacity some cycles from now."""

    cycles: int
    capacity_ah: Interval


class RemainingLife(msgspec.Struct, frozen=True, gc=False):
    """Cycles left until the SOH stays below ``eol_soh``."""

    p05: float
    p50: float
    p95: float
    eol_soh: float


class Origin(msgspec.Struct, frozen=True, gc=False):
    """The input record that made the prediction due."""

    topic: str
    partition: int
    offset: int


class Prediction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What one cell is and will be. (``pack_id``, ``cell``, ``step``) identifies it; absent targets are left out."""

    v: Literal[1]
    pack_id: str
    cell: int
    t_ms: int
    step: int
    flags: list[str]
    model: str
    source: Origin
    cycle: int | None = None
    soh: Interval | None = None
    capacity_ah: Interval | None = None
    horizons: list[Horizon] | None = None
    rul_cycles: RemainingLife | None = None
    p_warranty: float | None = None


class AlertKind(StrEnum):
    """What may need a person."""

    END_OF_LIFE = "end_of_life"
    WARRANTY = "warranty"
    SUDDEN_FADE = "sudden_fade"
    OUTLIER = "outlier"
    SENSOR_FAULT = "sensor_fault"
    OUT_OF_DISTRIBUTION = "out_of_distribution"


class Alert(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Something that needs a person begins (``raised``), or is over.

    (``pack_id``, ``cell``, ``kind``, ``step``, ``raised``) identifies it. ``value`` was compared with ``limit``, and
    ``reason`` says it in words.
    """

    v: Literal[1]
    pack_id: str
    cell: int
    kind: AlertKind
    raised: bool
    t_ms: int
    step: int
    reason: str
    model: str
    source: Origin
    cycle: int | None = None
    value: float | None = None
    limit: float | None = None


class WeakCell(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the weakest cells of a pack, and the alerts that stand for it."""

    cell: int
    soh: Interval
    rul_cycles: Interval | None = None
    alerts: list[AlertKind] = []


class PackRollup(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pack by its cells' newest predictions. A series string is as good as its weakest cell.

    ``soh`` and ``rul_cycles`` are the least of each quantile, ``p_warranty`` is the greatest, over the ``answered`` of
    the ``cells`` heard of. ``soh_spread``: between best and weakest median. ``alerts``: how many stand, by kind.
    """

    v: Literal[1]
    pack_id: str
    t_ms: int
    cells: int
    answered: int
    alerts: dict[AlertKind, int]
    weakest: list[WeakCell]
    model: str
    source: Origin
    cycle: int | None = None
    soh: Interval | None = None
    soh_median: float | None = None
    soh_spread: float | None = None
    rul_cycles: RemainingLife | None = None
    p_warranty: float | None = None
