"""Time, injected: wall time for event-time checks, monotonic time for deadlines."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the stream asks of time."""

    def time_ms(self) -> int:
        """Wall time, UTC epoch."""

    def monotonic_s(self) -> float:
        """Time that never goes back, from an arbitrary start."""


class SystemClock:
    """The machine's own clocks."""

    def time_ms(self) -> int:
        """Wall time, UTC epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Time that never goes back, from an arbitrary start."""
        return time.monotonic()
