"""A clock for tests of what hangs on time."""

from __future__ import annotations


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def time_ms(self) -> int:
        return round(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s
