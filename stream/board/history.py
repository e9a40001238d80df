"""The past of one cell in bounded memory: thinned as it grows, first and newest point always kept."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

_WIDTH = 5
_TREND_POINTS = 20
_TREND_MIN_POINTS = 8


class History:
    """Points ``(x, p05, p50, p95, truth)`` of one cell; ``x`` is a cycle or a step, the rest are SOH fractions.

    When ``capacity`` points are held every second one is dropped, so that the whole life stays visible, ever coarser.
    """

    __slots__ = ("_capacity", "_points", "_seen", "_stride")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._points = array("f")
        self._seen = 0
        self._stride = 1

    def __len__(self) -> int:
        return len(self._points) // _WIDTH

    def add(self, point: Sequence[float]) -> None:
        """Appends a point (5 floats). The newest point is kept even where it lies between two that are to be kept."""
        if self._seen and (self._seen - 1) % self._stride:
            del self._points[-_WIDTH:]
        self._points.extend(point)
        self._seen += 1
        if len(self) >= self._capacity:
            self._thin()

    def columns(self) -> tuple[list[float], list[float], list[float], list[float], list[float]]:
        """``x``, ``p05``, ``p50``, ``p95`` and ``truth`` (NaN where it is not known), oldest first."""
        x, p05, p50, p95, truth = (self._points[column::_WIDTH].tolist() for column in range(_WIDTH))
        return x, p05, p50, p95, truth

    def trend_per_100(self) -> float:
        """Change of the median SOH per 100 of ``x``, by least squares over the newest points; NaN where too few."""
        newest = self._points[-_TREND_POINTS * _WIDTH :]
        x, y = newest[0::_WIDTH], newest[2::_WIDTH]
        n = len(x)
        if n < _TREND_MIN_POINTS:
            return float("nan")
        mean_x, mean_y = sum(x) / n, sum(y) / n
        spread = sum((a - mean_x) ** 2 for a in x)
        if spread == 0:
            return float("nan")
        return 100 * sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread

    def _thin(self) -> None:
        rows = [self._points[at : at + _WIDTH] for at in range(0, len(self._points), _WIDTH)]
        kept = rows[::2] if len(rows) % 2 else [*rows[::2], rows[-1]]
        self._points = array("f", [value for row in kept for value in row])
        self._stride *= 2
