"""The batch shapes a model is run at: which of them hold n windows in the least time."""

from __future__ import annotations

from collections.abc import Sequence


class Buckets:
    """Shapes in ascending order, and the seconds that one run at each takes.

    Until they are measured all runs count the same: then n windows go into as few runs as can hold them.
    """

    def __init__(self, sizes: Sequence[int], seconds: Sequence[float] = ()) -> None:
        self.sizes = tuple(sizes)
        self.largest = self.sizes[-1]
        self._runs = tuple(zip(seconds or [1.0] * len(self.sizes), self.sizes, strict=True))
        # Of each number of windows the least time, and a shape to begin with; grown as far as was asked for.
        self._cheapest: list[tuple[float, int]] = [(0.0, 0)]

    def chunks(self, n: int) -> list[int]:
        """Shapes that together hold ``n`` windows, the largest first; only the last is padded."""
        for count in range(len(self._cheapest), n + 1):
            self._cheapest.append(
                min((once + self._cheapest[max(count - size, 0)][0], size) for once, size in self._runs)
            )
        chosen = []
        while n > 0:
            chosen.append(self._cheapest[n][1])
            n -= chosen[-1]
        return sorted(chosen, reverse=True)

    def padded(self, n: int) -> int:
        """Windows that are computed for ``n``."""
        return sum(self.chunks(n))
