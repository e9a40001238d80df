"""How often something happens, over the last seconds."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 10


class Rate:
    """Counts events in buckets of one second and averages over the last ten full ones, fewer at the beginning."""

    def __init__(self) -> None:
        self._buckets: deque[list[int]] = deque(maxlen=_WINDOW_S + 1)
        self._first_s: float | None = None

    def count(self, now_s: float) -> None:
        """One event at ``now_s`` (monotonic)."""
        second = int(now_s)
        if self._first_s is None:
            self._first_s = now_s
        if self._buckets and self._buckets[-1][0] == second:
            self._buckets[-1][1] += 1
        else:
            self._buckets.append([second, 1])

    def per_s(self, now_s: float) -> float:
        """Events per second."""
        if self._first_s is None:
            return 0.0
        since = int(now_s) - _WINDOW_S
        events = sum(count for second, count in self._buckets if second >= since)
        span_s = min(now_s - since, max(now_s - self._first_s, 1.0))
        return round(events / span_s, 2)
