"""Sample steps: the mean voltage, current and temperature of each period of event time, in compiled code."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from model.block import LATE_INPUT, MASKED_INPUT
from model.schema import SampleSteps
from model.state import StepState

# One row a cell: the open grid point's sums, and how far the ring has come.
SAMPLE_ROW = np.dtype(
    [
        ("t_ms", np.int64),
        ("step", np.int64),
        ("grid", np.int64),
        ("voltage_sum_v", np.float64),
        ("current_sum_a", np.float64),
        ("temp_sum_degc", np.float64),
        ("samples", np.int32),
        ("temp_samples", np.int32),
        ("length", np.int32),
        ("cycle", np.int32),
        ("nominal_ah", np.float32),
        ("flags", np.uint8),
    ],
    align=True,
)


class SampleArrays(NamedTuple):
    """One of everything for each cell, for the kernels. rows: `SAMPLE_ROW` [slots]; ring: float32 [slots, L, C]."""

    rows: NDArray[np.void]
    ring: NDArray[np.float32]


class SampleRule(NamedTuple):
    """The parameters of `SampleSteps` as the kernels take them."""

    period_ms: int
    max_gap_ms: int
    stride: int
    nominal_ah: float


def new_sample_state(steps: SampleSteps) -> StepState:
    """An empty state of sample steps."""
    arrays = SampleArrays(np.zeros(0, SAMPLE_ROW), np.zeros((0, steps.window, len(steps.channels)), np.float32))
    rule = SampleRule(
        round(steps.period_s * 1000), round(steps.max_gap_s * 1000), steps.stride, steps.nominal_capacity_ah
    )
    return StepState(steps, arrays, rule, _update)


@njit(cache=True, nogil=True)
def _update(block, cursor, out, filled, emit, arrays, counts, rule):  # type: ignore[no-untyped-def]
    ring = arrays.ring
    capacity = out.slot.shape[0]
    frames = block.first_slot.shape[0]
    frame, first_cell, seen = cursor[0], cursor[1], cursor[2]
    while frame < frames:
        t_ms, current_a, nominal_ah = block.t_ms[frame], block.current_a[frame], block.nominal_ah[frame]
        cells, probes = block.cells[frame], block.probes[frame]
        voltage_start, temp_start = block.voltage_start[frame], block.temp_start[frame]
        grid = t_ms // rule.period_ms
        for cell in range(first_cell, cells):
            # A sample makes at most two windows due, since a bridged gap is no longer than a stride.
            if emit and capacity - filled < 2:
                cursor[0], cursor[1], cursor[2] = frame, cell, seen
                return filled
            slot = block.first_slot[frame] + cell
            row = arrays.rows[slot]
            voltage_v = block.voltage_v[voltage_start + cell]
            if t_ms <= row.t_ms:
                if t_ms == row.t_ms:
                    seen |= 2
                else:
                    seen |= 1
                    row.flags |= LATE_INPUT
                continue
            if not math.isfinite(voltage_v):
                counts[3] += 1
                row.flags |= MASKED_INPUT
                continue
            temp_degc = block.temp_degc[temp_start + cell * probes // cells] if probes > 0 else np.float32(np.nan)
            counts[0] += 1
            if row.t_ms < 0:
                row.grid = grid
            elif grid > row.grid:
                gap = t_ms - row.t_ms > rule.max_gap_ms
                repeats = 1 if gap else grid - row.grid
                voltage_mean, rate_mean = (
                    row.voltage_sum_v / row.samples,
                    row.current_sum_a / row.samples / row.nominal_ah,
                )
                temp_mean = row.temp_sum_degc / row.temp_samples if row.temp_samples > 0 else np.nan
                for _ in range(repeats):
                    step = ring[slot, row.step % ring.shape[1]]
                    step[0], step[1], step[2] = voltage_mean, rate_mean, temp_mean
                    row.step += 1
                    row.length = min(row.length + 1, ring.shape[1])
                    if row.step % rule.stride == 0:
                        if emit:
                            _emit(out, filled, ring[slot], row, slot, t_ms, frame)
                            filled += 1
                        row.flags = 0
                row.samples = row.temp_samples = 0
                row.voltage_sum_v = row.current_sum_a = row.temp_sum_degc = 0.0
                row.grid = grid
                if gap:
                    row.length = 0
            if row.samples == 0:
                if nominal_ah > 0:
                    row.nominal_ah = nominal_ah
                elif not row.nominal_ah > 0:
                    row.nominal_ah = rule.nominal_ah
                row.cycle = block.cycle[frame]
            row.t_ms = t_ms
            row.samples += 1
            row.voltage_sum_v += voltage_v
            row.current_sum_a += current_a
            if math.isfinite(temp_degc):
                row.temp_samples += 1
                row.temp_sum_degc += temp_degc
        counts[1] += seen & 1
        counts[2] += seen >> 1
        frame, first_cell, seen = frame + 1, 0, 0
    cursor[0], cursor[1], cursor[2] = frame, 0, 0
    return filled


# Once in each file of kernels: a cached kernel is compiled anew when its own file changes, not when another's does.
@njit(cache=True, nogil=True)
def _copy_window(ring, step, length, window):  # type: ignore[no-untyped-def]
    """Copies the ``length`` newest steps right-aligned into ``window``; ``step`` counts all steps ever appended."""
    size = ring.shape[0]
    window[: size - length] = np.nan
    start = (step - length) % size
    head = min(length, size - start)
    window[size - length : size - length + head] = ring[start : start + head]
    window[size - length + head :] = ring[: length - head]


@njit(cache=True, nogil=True)
def _emit(out, at, ring, row, slot, t_ms, frame):  # type: ignore[no-untyped-def]
    _copy_window(ring, row.step, row.length, out.windows[at])
    out.length[at] = row.length
    out.slot[at] = slot
    out.step[at] = row.step
    out.cycle[at] = row.cycle
    out.t_ms[at] = t_ms
    out.nominal_ah[at] = row.nominal_ah
    out.flags[at] = row.flags
    out.frame[at] = frame
