"""Laws of pacing: never early, never drifting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.pace import MAX, Pace, parse_speed
from stream.errors import ConfigurationError

speeds = st.floats(0.01, 1e6)
START_MS = 1_700_000_000_000


@given(speeds, st.lists(st.integers(0, 10**8), min_size=1, max_size=30).map(sorted), st.floats(0, 1e5))
def test_what_is_due_is_exactly_what_lies_in_the_past(speed: float, offsets: list[int], now: float) -> None:
    pace = Pace(speed, START_MS, started_s=50.0)
    times = START_MS + np.array(offsets, np.int64)
    due = pace.due(times, 50.0 + now)
    assert all(pace.due_s(int(t_ms)) <= 50.0 + now for t_ms in times[:due])
    assert all(pace.due_s(int(t_ms)) > 50.0 + now for t_ms in times[due:])


@given(speeds, st.integers(1, 10**10))
def test_due_times_do_not_drift_however_long_the_recording(speed: float, offset_ms: int) -> None:
    pace = Pace(speed, START_MS, started_s=0.0)
    assert pace.due_s(START_MS + offset_ms) == pytest.approx(offset_ms / 1000 / speed, rel=1e-12)


def test_at_max_everything_is_due_at_once() -> None:
    pace = Pace(MAX, START_MS, started_s=5.0)
    assert pace.due(START_MS + np.arange(0, 10**9, 10**8), now_s=5.0) == 10


@pytest.mark.parametrize(("text", "speed"), [("max", MAX), ("MAX", MAX), ("1", 1.0), ("0.5", 0.5), ("1e4", 1e4)])
def test_speed_is_read(text: str, speed: float) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", ""])
def test_a_wrong_speed_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="speed"):
        parse_speed(text)
