"""Capacities that were measured: whose, in which cycle, and between which predictions they stand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock
from stream.packs import Packs

WHOLE_PACK = -1


class Truth(NamedTuple):
    """A capacity in Ah that a record brought. cycle: the record's, -1 where it has none.

    ``cell`` is `WHOLE_PACK` where the record speaks of several cells: what a pack holds is no cell's capacity.
    """

    pack_id: str
    cell: int
    cycle: int
    capacity_ah: float


class Measured:
    """The truths of a block of frames, in order, as far as they are not taken yet."""

    def __init__(self, block: FrameBlock, packs: Packs) -> None:
        self._frame: NDArray[np.int64] = np.flatnonzero(np.isfinite(block.capacity_ah))
        self._truths: list[Truth] = []
        if len(self._frame):
            cells = block.cells[self._frame].tolist()
            owners = packs.owners(block.first_slot[self._frame])
            cycles, capacities = block.cycle[self._frame].tolist(), block.capacity_ah[self._frame].tolist()
            self._truths = [
                Truth(pack_id, cell if count == 1 else WHOLE_PACK, cycle, capacity_ah)
                for (pack_id, cell), count, cycle, capacity_ah in zip(owners, cells, cycles, capacities, strict=True)
            ]

    def before(self, frame: int, windows: NDArray[np.int64]) -> list[tuple[int, Truth]]:
        """Takes the truths of frames before ``frame``, each with how many of the windows it comes after.

        windows: int64 [n], the frames that made windows due, ascending. What a frame makes due comes before its truth.
        """
        if not self._truths:
            return []
        count = int(np.searchsorted(self._frame, frame))
        after = np.searchsorted(windows, self._frame[:count], "right").tolist()
        taken, self._truths = self._truths[:count], self._truths[count:]
        self._frame = self._frame[count:]
        return list(zip(after, taken, strict=True))
