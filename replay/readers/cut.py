"""The part of a recording between two instants of event time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from model.recording import Recording


def instant_ms(when: datetime) -> int:
    """Event time in ms, UTC epoch; a time without a zone is taken as UTC."""
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def moment(t_ms: int) -> datetime:
    """The instant of an event time, in UTC."""
    return datetime.fromtimestamp(t_ms / 1000, UTC)


def between(recording: Recording, start: datetime | None, end: datetime | None) -> Recording:
    """The rows with ``start <= event time < end``, in recorded order; the truth stays whole."""
    if start is None and end is None:
        return recording
    keep = recording.t_ms >= (instant_ms(start) if start else 0)
    if end:
        keep &= recording.t_ms < instant_ms(end)
    return replace(
        recording,
        t_ms=recording.t_ms[keep],
        current_a=recording.current_a[keep],
        voltage_v=recording.voltage_v[keep],
        temp_degc=recording.temp_degc[keep],
        cycle=recording.cycle[keep],
    )
