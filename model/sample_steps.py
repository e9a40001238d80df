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

# What a usual sample changes, and nothing else: where a million cells fit no cache, its size is what a sample costs.
POINT = np.dtype(
    [
        ("t_ms", np.int64),
        ("voltage_sum_v", np.float64),
        ("current_sum_a", np.float64),
        ("temp_sum_degc", np.float64),
        ("samples", np.int32),
        ("temp_samples", np.int32),
    ],
    align=True,
)
# How far a cell's ring has come, and what it is told with its windows.
SAMPLE_ROW = np.dtype(
    [
        ("step", np.int64),
        ("length", np.int32),
        ("cycle", np.int32),
        ("nominal_ah", np.float32),
        ("flags", np.uint8),
    ],
    align=True,
)
# A step in six bytes. Current is the bits of a float16, since the range of cells whose capacity is unknown has no end.
STEP = np.dtype([("voltage_100uv", np.uint16), ("current_rate_half", np.uint16), ("temp_cdegc", np.int16)])

NO_TEMP = -(2**15)
HALF_SHIFT = 2.0**-112  # takes the exponent of a float32 to that of a float16, 13 bits further down
HALF_MAX = np.int32(0x7BFF)


class SampleArrays(NamedTuple):
    """One of everything for each cell, for the kernels.

    points: `POINT` [slots], the open grid points. rows: `SAMPLE_ROW` [slots]. ring: `STEP` [slots, L].
    """

    points: NDArray[np.void]
    rows: NDArray[np.void]
    ring: NDArray[np.void]


class SampleRule(NamedTuple):
    """The parameters of `SampleSteps` as the kernels take them."""

    period_ms: int
    max_gap_ms: int
    stride: int
    nominal_ah: float


def new_sample_state(steps: SampleSteps) -> StepState:
    """An empty state of sample steps."""
    arrays = SampleArrays(np.zeros(0, POINT), np.zeros(0, SAMPLE_ROW), np.zeros((0, steps.window), STEP))
    rule = SampleRule(
        round(steps.period_s * 1000), round(steps.max_gap_s * 1000), steps.stride, steps.nominal_capacity_ah
    )
    return StepState(steps, arrays, rule, _update)


@njit(cache=True, nogil=True)
def _update(block, cursor, out, filled, emit, arrays, counts, rule):  # type: ignore[no-untyped-def]
    ring, points, rows = arrays.ring, arrays.points, arrays.rows
    capacity = out.slot.shape[0]
    frames = block.first_slot.shape[0]
    frame, cell, seen = cursor[0], cursor[1], cursor[2]
    while frame < frames:
        t_ms, current_a = block.t_ms[frame], block.current_a[frame]
        first_slot, cells, probes = block.first_slot[frame], block.cells[frame], block.probes[frame]
        begin_ms = t_ms // rule.period_ms * rule.period_ms
        while cell < cells:
            probe, end = 0, cells
            if probes > 1:
                probe = cell * probes // cells
                end = ((probe + 1) * cells + probes - 1) // probes  # the first cell of the next probe
            temp_degc = block.temp_degc[block.temp_start[frame] + probe] if probes > 0 else np.float32(np.nan)
            temp_samples, temp_degc = (1, temp_degc) if math.isfinite(temp_degc) else (0, np.float32(0.0))
            for at in range(cell, end):
                slot = first_slot + at
                point = points[slot]
                voltage_v = block.voltage_v[block.voltage_start[frame] + at]
                if not (begin_ms <= point.t_ms < t_ms and math.isfinite(voltage_v)):
                    row = rows[slot]
                    if t_ms == point.t_ms:
                        seen |= 2
                        continue
                    if t_ms < point.t_ms:
                        seen |= 1
                        row.flags |= LATE_INPUT
                        continue
                    if not math.isfinite(voltage_v):
                        counts[3] += 1
                        row.flags |= MASKED_INPUT
                        continue
                    # A sample makes at most two windows due, since a bridged gap is no longer than a stride.
                    if emit and capacity - filled < 2:
                        cursor[0], cursor[1], cursor[2] = frame, at, seen
                        return filled
                    if point.t_ms >= 0:
                        gap = t_ms - point.t_ms > rule.max_gap_ms
                        for _ in range(1 if gap else -((point.t_ms - begin_ms) // rule.period_ms)):
                            _append(ring, slot, point, row)
                            if row.step % rule.stride == 0:
                                if emit:
                                    _emit(out, filled, ring, slot, row, t_ms, frame)
                                    filled += 1
                                row.flags = 0
                        if gap:
                            row.length = 0
                        point.samples = point.temp_samples = 0
                        point.voltage_sum_v = point.current_sum_a = point.temp_sum_degc = 0.0
                    nominal_ah = block.nominal_ah[frame]
                    if nominal_ah > 0:
                        row.nominal_ah = nominal_ah
                    elif not row.nominal_ah > 0:
                        row.nominal_ah = rule.nominal_ah
                    row.cycle = block.cycle[frame]
                counts[0] += 1
                point.t_ms = t_ms
                point.voltage_sum_v += voltage_v
                point.current_sum_a += current_a
                point.temp_sum_degc += temp_degc
                point.samples += 1
                point.temp_samples += temp_samples
            cell = end
        counts[1] += seen & 1
        counts[2] += seen >> 1
        frame, cell, seen = frame + 1, 0, 0
    cursor[0], cursor[1], cursor[2] = frame, 0, 0
    return filled


@njit(cache=True, nogil=True, inline="always")
def _append(ring, slot, point, row):  # type: ignore[no-untyped-def]
    """Makes the means of a grid point the newest step."""
    size = ring.shape[1]
    step = ring[slot, row.step % size]
    step.voltage_100uv = min(max(np.rint(point.voltage_sum_v / point.samples * 1e4), 0.0), 65535.0)
    step.current_rate_half = _half(point.current_sum_a / point.samples / row.nominal_ah)
    step.temp_cdegc = NO_TEMP
    if point.temp_samples > 0:
        temp_cdegc = np.rint(point.temp_sum_degc / point.temp_samples * 1e2)
        step.temp_cdegc = min(max(temp_cdegc, 1.0 + NO_TEMP), -1.0 - NO_TEMP)
    row.step += 1
    row.length = min(row.length + 1, size)


@njit(cache=True, nogil=True)
def _half(value):  # type: ignore[no-untyped-def]
    """The bits of the nearest float16; the largest, where ``value`` is larger."""
    bits = np.float32(np.float32(abs(value)) * np.float32(HALF_SHIFT)).view(np.int32)
    bits = min((bits + 0xFFF + (bits >> 13 & 1)) >> 13, HALF_MAX)
    return bits | 0x8000 if value < 0 else bits


@njit(cache=True, nogil=True)
def _emit(out, at, ring, slot, row, t_ms, frame):  # type: ignore[no-untyped-def]
    """Writes the newest steps right-aligned into a window; ``row.step`` counts all steps ever appended."""
    size, length, window = ring.shape[1], row.length, out.windows[at]
    window[: size - length] = np.nan
    start = (row.step - length) % size
    first = min(length, size - start)  # a loop for each part of the ring: asking at each step takes 1.3 times as long
    _show(ring[slot, start:], first, window[size - length :])
    _show(ring[slot], length - first, window[size - length + first :])
    out.length[at] = length
    out.slot[at] = slot
    out.step[at] = row.step
    out.cycle[at] = row.cycle
    out.t_ms[at] = t_ms
    out.nominal_ah[at] = row.nominal_ah
    out.flags[at] = row.flags
    out.frame[at] = frame


@njit(cache=True, nogil=True, inline="always")
def _show(steps, count, window):  # type: ignore[no-untyped-def]
    """The first steps, as a model reads them."""
    for at in range(count):
        step, shown = steps[at], window[at]
        shown[0] = step.voltage_100uv * np.float32(1e-4)
        bits = np.int32(step.current_rate_half)
        rate = np.int32((bits & 0x7FFF) << 13).view(np.float32) * np.float32(1 / HALF_SHIFT)
        shown[1] = -rate if bits & 0x8000 else rate
        shown[2] = step.temp_cdegc * np.float32(1e-2) if step.temp_cdegc != NO_TEMP else np.float32(np.nan)
