"""A batch of due windows from all partitions, and whose windows they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.windows import WindowBatch
from stream.offsets import Ticket
from stream.seams import Partition


class Segment(NamedTuple):
    """Windows ``start`` to ``stop`` of a batch: they came from one polled batch of one partition.

    owners: the pack and cell of each window. offset: int64 [f], of the frames of its block; ``WindowBatch.frame``
    indexes it.
    """

    partition: Partition
    owners: list[tuple[str, int]]
    ticket: Ticket
    offset: NDArray[np.int64]
    start: int
    stop: int


@dataclass(slots=True)
class Batch:
    """Slot arrays that are used again and again; ``opened_s`` is when the first window came in."""

    windows: WindowBatch
    filled: int = 0
    opened_s: float = 0.0
    segments: list[Segment] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether a sample might find no room: it makes up to two windows due."""
        return self.windows.capacity - self.filled < 2

    def share(self, among: int) -> WindowBatch:
        """The slots as far as one of ``among`` partitions may fill them before it is another's turn."""
        capacity = self.windows.capacity
        stop = self.filled + max(capacity // max(among, 1), 2)
        return self.windows if stop >= capacity else WindowBatch._make(column[:stop] for column in self.windows)

    def copy(self, other: Batch) -> None:
        """Becomes what the other batch of the same shape is."""
        columns: Iterable[tuple[NDArray[Any], NDArray[Any]]] = zip(self.windows, other.windows, strict=True)
        for mine, given in columns:
            mine[: other.filled] = given[: other.filled]
        self.filled, self.opened_s = other.filled, other.opened_s
        self.segments[:] = other.segments

    def clear(self) -> None:
        """Ready to be filled again."""
        self.filled = 0
        self.segments.clear()
