"""The records on the wire, version 1: what comes in, what goes out. New fields may be added; none is renamed or removed."""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_CELLS = 1024


class PackFrame(msgspec.Struct, tag_field="kind", tag="pack", frozen=True, gc=False):
    """All cells of one series string at one instant. ``current_a`` is positive when charging; ``null`` is invalid."""

    pack_id: str
    t_ms: int
    current_a: float
    voltage_v: list[float | None]
    temp_degc: list[float | None] | None = None
    cycle: int | None = None
    capacity_ah: float | None = None
    nominal_capacity_ah: float | None = None
    soc_pct: float | None = None
    late: bool = False
    v: Literal[1] = 1


class CellSample(msgspec.Struct, tag_field="kind", tag="cell", frozen=True, gc=False):
    """One cell at one instant."""

    pack_id: str
    cell: int
    t_ms: int
    current_a: float
    voltage_v: float
    temp_degc: float | None = None
    cycle: int | None = None
    capacity_ah: float | None = None
    nominal_capacity_ah: float | None = None
    soc_pct: float | None = None
    late: bool = False
    v: Literal[1] = 1


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
