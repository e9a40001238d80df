"""The one abstraction: samples become steps, steps become windows, by the same compiled code online and offline."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock
from model.cycle_steps import CycleStepState
from model.sample_steps import SampleStepState
from model.schema import CycleSteps, SampleSteps
from model.windows import WindowBatch

# Positions in a state's `counts` (int64 [4], since the state began): cell samples folded in, frames with a cell that is
# already further, frames with a cell that was already there, cell samples without a valid voltage.
APPLIED, LATE, DUPLICATE, MASKED = range(4)


class StepState(Protocol):
    """The live state of any number of cells, whichever kind its steps are."""

    counts: NDArray[np.int64]
    slots: int

    def reserve(self, slots: int) -> None:
        """Makes room for ``slots`` cells; new ones have seen nothing."""

    def update(
        self, block: FrameBlock, cursor: NDArray[np.int64], out: WindowBatch, filled: int, *, emit: bool = True
    ) -> int:
        """Folds frames in from ``cursor`` until the block or the room in ``out`` ends; returns windows filled."""


def new_cursor() -> NDArray[np.int64]:
    """The start of a block, int64 [3]: frame, cell, and what was seen of an interrupted frame."""
    return np.zeros(3, np.int64)


def new_state(steps: SampleSteps | CycleSteps, slots: int = 0) -> StepState:
    """An empty state for ``slots`` cells; it grows by ``reserve``."""
    return SampleStepState(steps, slots) if isinstance(steps, SampleSteps) else CycleStepState(steps, slots)
