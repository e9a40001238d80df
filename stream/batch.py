"""A batch of due windows from all partitions, and whose windows they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

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

    def clear(self) -> None:
        """Ready to be filled again."""
        self.filled = 0
        self.segments.clear()
