"""What a battery can physically report: one rule, so that recordings and the stream see the same samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock

MIN_VOLTAGE_V, MAX_VOLTAGE_V = 0.5, 6.0
MIN_TEMP_DEGC, MAX_TEMP_DEGC = -60.0, 150.0
MAX_CURRENT_A = 5000.0


def mask_implausible(block: FrameBlock) -> NDArray[np.bool_]:
    """Sets implausible cell voltages and temperatures of ``block`` to NaN, in place; returns which frames can be used.

    bool [f]. A frame is of no use when its current is not plausible (it is every cell's), when no cell of it is left,
    or when it speaks of one cell only and its temperature is absurd (a missing one is not).
    Readings must lie in the block frame by frame, without holes.
    """
    usable = np.abs(block.current_a) <= MAX_CURRENT_A
    if not block.frames:
        return usable
    voltage_v, temp_degc = block.voltage_v, block.temp_degc
    valid = (voltage_v >= MIN_VOLTAGE_V) & (voltage_v <= MAX_VOLTAGE_V)
    if not valid.all():
        voltage_v[~valid] = np.nan
        usable &= np.add.reduceat(valid, block.voltage_start) > 0
    absurd = (temp_degc < MIN_TEMP_DEGC) | (temp_degc > MAX_TEMP_DEGC)
    if absurd.any():
        temp_degc[absurd] = np.nan
        single = np.flatnonzero((block.cells == 1) & (block.probes > 0))
        usable[single] &= ~absurd[block.temp_start[single]]
    return usable
