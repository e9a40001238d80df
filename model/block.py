"""A block of decoded telemetry, columnar: what the compiled step kernels eat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Bits that a frame brings along and a step hands on; the names are the flags of a published prediction.
LATE_INPUT = 1
MASKED_INPUT = 2
OUT_OF_DISTRIBUTION = 4  # raised by the model, not by a frame


class FrameBlock(NamedTuple):
    """Frames in arrival order; a cell sample is a frame of one cell. The cells of a frame sit in consecutive slots.

    first_slot: int64 [f]. cells: int64 [f]. t_ms: int64 [f]. current_a: float32 [f]. cycle: int32 [f], -1 unknown.
    nominal_ah: float32 [f], NaN unknown. voltage_start, temp_start: int64 [f], where the frame's readings begin.
    probes: int64 [f]. voltage_v: float32 [sum of cells], NaN invalid. temp_degc: float32 [sum of probes], NaN invalid.
    """

    first_slot: NDArray[np.int64]
    cells: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    current_a: NDArray[np.float32]
    cycle: NDArray[np.int32]
    nominal_ah: NDArray[np.float32]
    voltage_start: NDArray[np.int64]
    voltage_v: NDArray[np.float32]
    temp_start: NDArray[np.int64]
    probes: NDArray[np.int64]
    temp_degc: NDArray[np.float32]

    @property
    def frames(self) -> int:
        """Frames in the block."""
        return int(self.first_slot.shape[0])

    def select(self, frames: NDArray[np.bool_]) -> FrameBlock:
        """The block without the frames that are False in ``frames`` (bool [f]); readings stay where they are."""
        return self._replace(
            first_slot=self.first_slot[frames],
            cells=self.cells[frames],
            t_ms=self.t_ms[frames],
            current_a=self.current_a[frames],
            cycle=self.cycle[frames],
            nominal_ah=self.nominal_ah[frames],
            voltage_start=self.voltage_start[frames],
            temp_start=self.temp_start[frames],
            probes=self.probes[frames],
        )
