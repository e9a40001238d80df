"""A block of decoded telemetry, columnar: what the compiled step kernels eat."""

from __future__ import annotations

from collections.abc import Sequence
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
    nominal_ah: float32 [f], NaN unknown. capacity_ah: float32 [f], as measured in that cycle, NaN where not.
    voltage_start, temp_start: int64 [f], where the frame's readings begin. probes: int64 [f].
    voltage_v: float32 [sum of cells], NaN invalid. temp_degc: float32 [sum of probes], NaN invalid.
    """

    first_slot: NDArray[np.int64]
    cells: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    current_a: NDArray[np.float32]
    cycle: NDArray[np.int32]
    nominal_ah: NDArray[np.float32]
    capacity_ah: NDArray[np.float32]
    voltage_start: NDArray[np.int64]
    voltage_v: NDArray[np.float32]
    temp_start: NDArray[np.int64]
    probes: NDArray[np.int64]
    temp_degc: NDArray[np.float32]

    @property
    def frames(self) -> int:
        """Frames in the block."""
        return int(self.first_slot.shape[0])

    def select(self, frames: NDArray[np.bool_] | NDArray[np.int64] | slice) -> FrameBlock:
        """The frames that ``frames`` picks (bool [f], or int64 in any order); readings stay where they are."""
        return self._replace(
            first_slot=self.first_slot[frames],
            cells=self.cells[frames],
            t_ms=self.t_ms[frames],
            current_a=self.current_a[frames],
            cycle=self.cycle[frames],
            nominal_ah=self.nominal_ah[frames],
            capacity_ah=self.capacity_ah[frames],
            voltage_start=self.voltage_start[frames],
            temp_start=self.temp_start[frames],
            probes=self.probes[frames],
        )

    def gathered(self, frames: NDArray[np.int64]) -> FrameBlock:
        """As `select`, with the readings laid frame by frame and without holes."""
        block = self.select(frames)
        return block._replace(
            voltage_start=_ends(block.cells) - block.cells,
            voltage_v=block.voltage_v[_runs(block.voltage_start, block.cells)],
            temp_start=_ends(block.probes) - block.probes,
            temp_degc=block.temp_degc[_runs(block.temp_start, block.probes)],
        )


def joined(blocks: Sequence[FrameBlock]) -> FrameBlock:
    """The frames of all blocks, one block behind the other."""
    block = FrameBlock(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))
    frames = [each.frames for each in blocks]
    voltages = np.array([len(each.voltage_v) for each in blocks])
    temps = np.array([len(each.temp_degc) for each in blocks])
    return block._replace(
        voltage_start=block.voltage_start + np.repeat(_ends(voltages) - voltages, frames),
        temp_start=block.temp_start + np.repeat(_ends(temps) - temps, frames),
    )


def _ends(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(counts, dtype=np.int64)


def _runs(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every place of runs that begin at ``starts`` and are ``counts`` long."""
    shifts: NDArray[np.int64] = np.repeat(starts - (_ends(counts) - counts), counts)
    return shifts + np.arange(len(shifts))
