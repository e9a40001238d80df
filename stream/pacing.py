"""When a partition's next transaction may begin, so that all of them together leave the processor to the stream."""

from __future__ import annotations

from collections import deque

SHARE = 0.10
COST_S = 0.002  # at most: beyond, it is what ran beside a transaction that was measured
MEASURED = 64


class Pacing:
    """Gives turns to the partitions' transactions: as many as ``share`` of one core can do, evenly spaced.

    A partition asks when it has results and its last transaction began ``floor_s`` ago or earlier. While few ask, or
    seldom, a turn comes at once and `interval_s` stays at the floor; the more ask, the later it comes, in order. What a
    turn costs is measured. Times are seconds of one monotonic clock.
    """

    def __init__(self, floor_s: float, share: float = SHARE) -> None:
        self.floor_s = floor_s
        self._share = share
        self._free_s = float("-inf")
        self._costs_s: deque[float] = deque([COST_S], MEASURED)
        self.cost_s = COST_S

    def turn_s(self, now_s: float) -> float:
        """Takes the next turn: when the transaction may begin."""
        turn_s = max(now_s, self._free_s)
        self._free_s = turn_s + self.cost_s / self._share
        return turn_s

    def interval_s(self, now_s: float) -> float:
        """How far apart a partition's transactions are at least, as things are now."""
        return max(self.floor_s, self._free_s - now_s)

    def took(self, cpu_s: float) -> None:
        """A transaction took so much of its thread's time, what else ran between its parts included.

        The least of them come near to what it costs; on a busy thread, or where the broker is slow, none does.
        """
        self._costs_s.append(cpu_s)
        self.cost_s = min(COST_S, sorted(self._costs_s)[len(self._costs_s) // 4])
