"""Live step state of any number of cells: arrays of all that a cell has, and the kernel that folds frames in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock
from model.growth import grown
from model.schema import CycleSteps, SampleSteps
from model.windows import WindowBatch

# Positions in a state's `counts` (int64 [4], since the state began): cell samples folded in, frames with a cell that is
# already further, frames with a cell that was already there, cell samples without a valid voltage.
APPLIED, LATE, DUPLICATE, MASKED = range(4)


def new_cursor() -> NDArray[np.int64]:
    """The start of a block, int64 [3]: frame, cell, and what was seen of an interrupted frame."""
    return np.zeros(3, np.int64)


class StepState:
    """The state of all cells for one kind of steps.

    ``arrays`` is a named tuple of arrays whose first axis is the slot; its ``rows`` have ``t_ms`` and ``cycle``, both
    -1 in a cell that has seen nothing. ``kernel(block, cursor, out, filled, emit, arrays, counts, rule)`` is compiled.
    """

    def __init__(
        self, steps: SampleSteps | CycleSteps, arrays: Any, rule: tuple[Any, ...], kernel: Callable[..., int]
    ) -> None:
        self.steps = steps
        self.arrays = arrays
        self.counts = np.zeros(4, np.int64)
        self.slots = 0
        self._rule = rule
        self._kernel = kernel

    def reserve(self, slots: int) -> None:
        """Makes room for ``slots`` cells; new ones have seen nothing."""
        held = len(self.arrays.rows)
        if slots > held:
            self.arrays = type(self.arrays)(*(grown(array, slots) for array in self.arrays))
            self.arrays.rows["t_ms"][held:] = -1
            self.arrays.rows["cycle"][held:] = -1
        self.slots = max(slots, self.slots)

    def update(
        self, block: FrameBlock, cursor: NDArray[np.int64], out: WindowBatch, filled: int, *, emit: bool = True
    ) -> int:
        """Folds frames in from ``cursor`` (`new_cursor`) until the block or the room in ``out`` ends.

        Advances ``cursor`` in place and returns how many windows of ``out`` are filled. ``emit=False`` rebuilds state
        without making windows due.
        """
        return int(self._kernel(block, cursor, out, filled, emit, self.arrays, self.counts, self._rule))
