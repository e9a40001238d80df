"""Why a record was refused: the reason counts in metrics, the error tells a person which field and which value."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from model.plausibility import (
    MAX_CURRENT_A,
    MAX_TEMP_DEGC,
    MAX_VOLTAGE_V,
    MIN_TEMP_DEGC,
    MIN_VOLTAGE_V,
)
from stream.records import CellSample, Telemetry

EARLIEST_MS = 946_684_800_000  # 2000-01-01: an earlier time is most likely in seconds


class Reason(StrEnum):
    """Each way in which a telemetry record cannot be used."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNKNOWN_CONTENT_TYPE = "unknown_content_type"
    NOT_JSON = "not_json"
    NOT_FINITE = "not_finite"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KIND = "unknown_kind"
    UNSUPPORTED_VERSION = "unsupported_version"
    INVALID_READING = "invalid_reading"
    OUT_OF_RANGE = "out_of_range"
    TIME_IN_FUTURE = "time_in_future"
    TOO_MANY_CELLS = "too_many_cells"
    CELL_COUNT_CHANGED = "cell_count_changed"
    KIND_CHANGED = "kind_changed"
    CELL_LIMIT = "cell_limit"


class Refusal(NamedTuple):
    """One refused record, and its ``position`` in the polled batch."""

    position: int
    stage: str
    reason: Reason
    error: str


def why_implausible(frame: Telemetry, received_ms: int, future_tolerance_ms: int) -> tuple[Reason, str] | None:
    """The check of `model.plausibility` or of time that a frame fails, found again one after the other.

    Only refused frames pay for this; none where physics and time have nothing against it.
    """
    if not abs(frame.current_a) <= MAX_CURRENT_A:
        return Reason.OUT_OF_RANGE, f"current_a: {frame.current_a} A is outside -{MAX_CURRENT_A}..{MAX_CURRENT_A} A"
    if frame.t_ms < EARLIEST_MS:
        return Reason.OUT_OF_RANGE, f"t_ms: {frame.t_ms} is before the year 2000; it counts milliseconds, not seconds"
    if frame.t_ms > received_ms + future_tolerance_ms:
        ahead_s = (frame.t_ms - received_ms) / 1000
        error = f"t_ms: {frame.t_ms} is {ahead_s:.0f} s ahead of the record's arrival at {received_ms}"
        return Reason.TIME_IN_FUTURE, error
    return _why_no_reading(frame)


def _why_no_reading(frame: Telemetry) -> tuple[Reason, str] | None:
    if isinstance(frame, CellSample):
        voltages: list[float | None] = [frame.voltage_v]
        temps: list[float | None] = [frame.temp_degc]
    else:
        voltages, temps = frame.voltage_v, frame.temp_degc or []
    if not any(v is not None and MIN_VOLTAGE_V <= v <= MAX_VOLTAGE_V for v in voltages):
        first = next((v for v in voltages if v is not None), None)
        if first is None:
            return Reason.INVALID_READING, f"voltage_v: all {len(voltages)} readings are null"
        where = "" if len(voltages) == 1 else f" no valid reading in {len(voltages)} cells;"
        return Reason.OUT_OF_RANGE, f"voltage_v:{where} {first} V is outside {MIN_VOLTAGE_V}..{MAX_VOLTAGE_V} V"
    temp_degc = temps[0] if temps and len(voltages) == 1 else None
    if temp_degc is not None and not MIN_TEMP_DEGC <= temp_degc <= MAX_TEMP_DEGC:
        return Reason.OUT_OF_RANGE, f"temp_degc: {temp_degc} degC is outside {MIN_TEMP_DEGC}..{MAX_TEMP_DEGC} degC"
    return None
