"""Where in a recording its measured capacities are told: what a tester writes when a cycle is over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.recording import Recording


def measured_ah(recording: Recording) -> NDArray[np.float32]:
    """The capacity in Ah that each row brings, float32 [frames]: that of its cycle in a cycle's last row, else NaN.

    Only rows that the stream can use bring one. A pack of several cells brings none: its frames speak of all at once.
    """
    found = np.full(recording.frames, np.nan, np.float32)
    if recording.truth is None or recording.cells != 1:
        return found
    cycle, capacity_ah = recording.truth.of_cell(0)
    rows = np.flatnonzero(np.isfinite(recording.current_a) & np.isfinite(recording.voltage_v[:, 0]))
    numbers, from_end = np.unique(recording.cycle[rows][::-1], return_index=True)
    last = rows[::-1][from_end]
    known = np.isin(numbers, cycle)
    found[last[known]] = capacity_ah[np.searchsorted(cycle, numbers[known])]
    return found
