"""A preallocated batch of due windows: the kernels write into it, the predictor reads from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class WindowBatch(NamedTuple):
    """Slot arrays for up to ``capacity`` windows; how many are filled is the owner's to know.

    windows: float32 [capacity, L, C], right-aligned, NaN where there is no step or the step does not show the channel.
    length: int32 [capacity], steps present. slot, step: int64 [capacity]. cycle: int32 [capacity]. t_ms: int64
    [capacity], event time. nominal_ah: float32 [capacity]. flags: uint8 [capacity], bits of ``model.block``.
    frame: int64 [capacity], the index in its block of the frame that made the window due.
    """

    windows: NDArray[np.float32]
    length: NDArray[np.int32]
    slot: NDArray[np.int64]
    step: NDArray[np.int64]
    cycle: NDArray[np.int32]
    t_ms: NDArray[np.int64]
    nominal_ah: NDArray[np.float32]
    flags: NDArray[np.uint8]
    frame: NDArray[np.int64]

    @property
    def capacity(self) -> int:
        """The most windows it holds."""
        return int(self.slot.shape[0])

    @staticmethod
    def empty(capacity: int, length: int, channels: int) -> WindowBatch:
        """An unfilled batch of ``capacity`` windows of ``length`` steps of ``channels`` components."""
        return WindowBatch(
            np.full((capacity, length, channels), np.nan, np.float32),
            np.zeros(capacity, np.int32),
            np.zeros(capacity, np.int64),
            np.zeros(capacity, np.int64),
            np.zeros(capacity, np.int32),
            np.zeros(capacity, np.int64),
            np.zeros(capacity, np.float32),
            np.zeros(capacity, np.uint8),
            np.zeros(capacity, np.int64),
        )
