"""When a partition's next transaction may begin, so that all of them together leave the processor to the stream."""

from __future__ import annotations

SHARE = 0.08  # what is measured in place takes about a half more than what is sent alone
COST_S = 0.0015  # what one takes of a core of today (``python -m bench delivery``); where less was measured, that
MARGIN = 1.5  # of one with many results over one with none


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

        The least ever measured is what it costs: on a busy thread, or while the broker is slow, most of a measurement
        is something else, and to wait longer for that would make nothing better.
        """
        self.cost_s = min(self.cost_s, MARGIN * cpu_s)
