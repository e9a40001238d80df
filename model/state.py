"""Live step state of any number of cells: arrays of all that a cell has, and the kernel that folds frames in."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock
from model.growth import grown
from model.schema import CycleSteps, SampleSteps
from model.windows import WindowBatch


class Part(StrEnum):
    """A part of a cell's state: what any sample may change, what only its first steps change, and its newest steps."""

    OPEN = "open"
    SETTLED = "settled"
    RING = "ring"


RING_BLOCK = 16  # steps: a new step makes so many be written again

# Positions in a state's `counts` (int64 [4], since the state began): cell samples folded in, frames with a cell that is
# already further, frames with a cell that was already there, cell samples without a valid voltage.
APPLIED, LATE, DUPLICATE, MASKED = range(4)


def new_cursor() -> NDArray[np.int64]:
    """The start of a block, int64 [3]: frame, cell, and what was seen of an interrupted frame."""
    return np.zeros(3, np.int64)


class StepState:
    """The state of all cells for one kind of steps.

    ``arrays`` is a named tuple of arrays whose first axis is the slot. ``t_ms`` and ``cycle``, both -1 in a cell that
    has seen nothing, and ``step``, which counts its steps, are columns of some of them, or among them; ``ring`` holds
    its newest steps.
    ``settled`` names the arrays that no longer change after a cell's first ``settled_after`` steps.
    ``kernel(block, cursor, out, filled, emit, arrays, counts, rule)`` is compiled.
    """

    def __init__(
        self,
        steps: SampleSteps | CycleSteps,
        arrays: Any,
        rule: tuple[Any, ...],
        kernel: Callable[..., int],
        settled: tuple[str, ...] = (),
        settled_after: int = 0,
    ) -> None:
        self.steps = steps
        self.arrays = arrays
        self.settled = settled
        self.settled_after = settled_after
        self.counts = np.zeros(4, np.int64)
        self.slots = 0
        self._columns = {
            name: field for field, array in arrays._asdict().items() for name in array.dtype.names or (field,)
        }
        self._rule = rule
        self._kernel = kernel

    @cached_property
    def layout(self) -> str:
        """12 hex digits that change with the meaning of a step, and with what is kept of a cell and how.

        Kept, since every page carries it: growing changes neither the arrays' types nor the shape of their rows.
        """
        kept = [(name, array) for name, array in self.arrays._asdict().items() if 0 not in array.shape[1:]]
        arrays = [(name, array.dtype.descr, array.shape[1:]) for name, array in kept]
        return hashlib.sha256(f"{self.steps.fingerprint}{arrays}".encode()).hexdigest()[:12]

    def column(self, name: str) -> NDArray[Any]:
        """One value of each cell, [slots]: a column of one of the arrays, or all of one. Holds until `reserve`."""
        array: NDArray[Any] = getattr(self.arrays, self._columns[name])
        return array[name] if array.dtype.names else array

    def reserve(self, slots: int, bound: int = 0) -> None:
        """Makes room for ``slots`` cells, which may once be ``bound``; new ones have seen nothing."""
        # Each by itself: a large array has room for more than a small one.
        if slots > min(map(len, self.arrays)):
            arrays = (array if slots <= len(array) else grown(array, slots, bound) for array in self.arrays)
            self.arrays = type(self.arrays)(*arrays)
        if slots > self.slots:
            # Only rows in use: what is never written takes no memory.
            for name in ("t_ms", "cycle"):
                self.column(name)[self.slots : slots] = -1
            self.slots = slots

    def clear(self, slots: slice) -> None:
        """Cells that have seen nothing, in place of what the slots held."""
        for array in self.arrays:
            array[slots] = np.zeros((), array.dtype)
        for name in ("t_ms", "cycle"):
            self.column(name)[slots] = -1

    def count_from(self, slots: slice, step: int) -> None:
        """Counts on from ``step`` the steps of cells that have seen nothing."""
        for name in self._columns.keys() & {"step", "first_step"}:
            self.column(name)[slots] = step

    def dump(self, part: Part, slots: NDArray[np.int64], block: int = 0) -> bytes:
        """One part of the state of the given slots: little-endian, array after array; of the ring one block."""
        return b"".join(array[slots].tobytes() for array in self._arrays(part, block))

    def load(self, part: Part, slots: NDArray[np.int64], body: bytes, block: int = 0) -> None:
        """Puts back what `dump` gave. Raises ``ValueError`` where ``body`` is not of this size."""
        start = 0
        for array in self._arrays(part, block):
            count = len(slots) * math.prod(array.shape[1:])
            values = np.frombuffer(body, array.dtype, count, start)
            array[slots] = values.reshape(len(slots), *array.shape[1:])
            start += values.nbytes
        if start != len(body):
            raise ValueError(f"{len(body)} bytes where {start} were expected")

    @property
    def ring_blocks(self) -> int:
        """How many blocks the ring has."""
        return -(-self.steps.window // RING_BLOCK)

    def blocks_between(self, before: NDArray[np.int64], now: NDArray[np.int64]) -> list[int]:
        """The blocks of the ring that steps ``before`` to ``now`` (int64 [cells]) of any of the cells lie in."""
        moved = now > before
        if not moved.any():
            return []
        size = self.steps.window
        first, last = int(before[moved].min()), int(now[moved].max())
        places = np.arange(max(first, last - size), last) % size
        return [int(block) for block in np.unique(places // RING_BLOCK)]

    def _arrays(self, part: Part, block: int) -> list[NDArray[Any]]:
        arrays = self.arrays._asdict()
        ring = arrays.pop("ring")
        if part is Part.RING:
            return [ring[:, block * RING_BLOCK : (block + 1) * RING_BLOCK]]
        return [array for name, array in arrays.items() if (name in self.settled) == (part is Part.SETTLED)]

    def update(
        self, block: FrameBlock, cursor: NDArray[np.int64], out: WindowBatch, filled: int, *, emit: bool = True
    ) -> int:
        """Folds frames in from ``cursor`` (`new_cursor`) until the block or the room in ``out`` ends.

        Advances ``cursor`` in place and returns how many windows of ``out`` are filled. ``emit=False`` rebuilds state
        without making windows due.
        """
        return int(self._kernel(block, cursor, out, filled, emit, self.arrays, self.counts, self._rule))
