"""Cycle steps: what a cycle leaves behind, accumulated sample by sample in constant memory and compiled code."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from model.block import LATE_INPUT, MASKED_INPUT
from model.charge_window import CROSSING, STATISTICS, describe, follow
from model.cycle_rows import CYCLE_ROW, CycleArrays, CycleRule
from model.schema import CycleSteps
from model.state import StepState

REST_RATE = 0.02  # 1/h: below C/50 a cell rests
STEP_RATE = 0.2  # 1/h: a current step this large shows a resistance
STEP_MAX_S = 60.0  # a step seen over a longer interval shows diffusion rather than resistance
CV_FRACTION = 0.9  # constant voltage has begun when the current fell below this part of its plateau
CHARGE_RUN = 0.01  # of the nominal capacity: regenerative braking is not yet a charge
GAP, REST, CHARGE, DISCHARGE = range(4)  # which way the charge went in an interval, if it counts
CLOSE_ON = {"cycle": 0, "charge": 1, "equivalent_full_cycle": 2}
REFERENCES = 5  # channels that are also given relative to the cell's own first cycles


def new_cycle_state(steps: CycleSteps) -> StepState:
    """An empty state of cycle steps."""
    arrays = CycleArrays(
        rows=np.zeros(0, CYCLE_ROW),
        bins=np.zeros((0, 2, steps.bins), np.float32),
        reference_bins=np.zeros((0, 2, steps.bins), np.float32),
        reference_bins_count=np.zeros((0, 2, steps.bins), np.uint8),
        reference_sum=np.zeros((0, REFERENCES), np.float32),
        reference_count=np.zeros((0, REFERENCES), np.uint8),
        crossings=np.zeros((0, 0 if steps.charge_window is None else 2), CROSSING),
        ring=np.zeros((0, steps.window, len(steps.channels)), np.float32),
    )
    window = steps.charge_window
    rule = CycleRule(
        CLOSE_ON[steps.close_on],
        steps.max_gap_s,
        steps.min_depth,
        steps.bin_low_v,
        steps.bin_width_v,
        steps.reference_cycles,
        steps.nominal_capacity_ah,
        window is not None,
        window.low_v if window else 0.0,
        window.high_v if window else 0.0,
        window.high_rate if window else 0.0,
        window.low_rate if window else 0.0,
    )
    settled = ("reference_bins", "reference_bins_count", "reference_sum", "reference_count")
    return StepState(steps, arrays, rule, _update, settled, steps.reference_cycles)


class Interval(NamedTuple):
    """What the current says of the time since the last sample: the same for all cells that stand at one time.

    way: one of GAP, REST, CHARGE, DISCHARGE. moved_ah: in or out. step_a: 0 where the current stepped by too little, or
    too slowly, to show a resistance.
    """

    way: int
    interval_s: float
    moved_ah: float
    mean_a: float
    step_a: np.float32
    resting: bool
    was_resting: bool


@njit(cache=True, nogil=True)
def _update(block, cursor, out, filled, emit, arrays, counts, rule):  # type: ignore[no-untyped-def]
    capacity = out.slot.shape[0]
    frames = block.first_slot.shape[0]
    # Bound once, and not handed to `_fold`: an array that is handed on costs two atomic counts of its references.
    rows, bins, crossings = arrays.rows, arrays.bins, arrays.crossings
    voltages_v, temps_degc = block.voltage_v, block.temp_degc
    last_bin = bins.shape[2] - 1
    frame, first_cell, seen = cursor[0], cursor[1], cursor[2]
    before_a, own_ah = np.float32(0.0), np.float32(0.0)
    interval = Interval(GAP, 0.0, 0.0, 0.0, np.float32(0.0), False, False)
    while frame < frames:
        t_ms, current_a, number = block.t_ms[frame], block.current_a[frame], block.cycle[frame]
        cells, probes, nominal_ah = block.cells[frame], block.probes[frame], block.nominal_ah[frame]
        first_slot, voltage_start, temp_start = (
            block.first_slot[frame],
            block.voltage_start[frame],
            block.temp_start[frame],
        )
        by_throughput = rule.close_on == 2 or (rule.close_on == 0 and number < 0)
        before_ms = np.int64(-1)
        applied = 0
        for cell in range(first_cell, cells):
            if emit and filled == capacity:
                counts[0] += applied
                cursor[0], cursor[1], cursor[2] = frame, cell, seen
                return filled
            slot = first_slot + cell
            row = rows[slot]
            voltage_v = voltages_v[voltage_start + cell]
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
            temp_degc = temps_degc[temp_start + cell * probes // cells] if probes > 0 else np.float32(np.nan)
            applied += 1

            if row.t_ms < 0:
                row.first_ms = t_ms
                row.cycle = number
                row.nominal_ah = nominal_ah if nominal_ah > 0 else rule.nominal_ah
                _reset(row, voltage_v)
            else:
                if rule.close_on == 0 and number >= 0 and number != row.cycle:
                    # The number names the cycle that begins here: what came before is closed without this sample.
                    if row.cycle >= 0:
                        filled = _turn(
                            arrays, slot, rule, out, filled, emit, row.cycle, t_ms, frame, nominal_ah, voltage_v
                        )
                    row.cycle = number
                # The cells of a frame nearly always stand at one time and current: then the interval is one, too.
                if row.t_ms != before_ms or row.current_a != before_a or row.nominal_ah != own_ah:
                    before_ms, before_a, own_ah = row.t_ms, row.current_a, row.nominal_ah
                    interval = _interval(t_ms, current_a, before_ms, before_a, own_ah, rule)
                mean_v = 0.5 * (voltage_v + row.voltage_v)
                if rule.windowed:
                    follow(
                        crossings[slot, 0],
                        crossings[slot, 1],
                        float(row.voltage_v),
                        float(voltage_v),
                        float(row.current_a) / row.nominal_ah,
                        float(current_a) / row.nominal_ah,
                        interval.way == CHARGE and current_a > 0 and not interval.resting,
                        interval.interval_s,
                        interval.moved_ah,
                        rule,
                    )
                _fold(row, voltage_v, mean_v, temp_degc, interval)
                if interval.way >= CHARGE:
                    at = min(max(int((mean_v - rule.bin_low_v) / rule.bin_width_v), 0), last_bin)
                    bins[slot, interval.way - CHARGE, at] += interval.moved_ah
            row.voltage_max_v = max(row.voltage_max_v, voltage_v)
            row.voltage_min_v = min(row.voltage_min_v, voltage_v)
            row.t_ms, row.voltage_v, row.current_a = t_ms, voltage_v, current_a

            if rule.close_on == 1:
                over = row.charge_run_ah >= CHARGE_RUN * row.nominal_ah
                over = over and row.discharge_ah >= rule.min_depth * row.nominal_ah
            else:
                over = by_throughput and row.charge_ah + row.discharge_ah >= 2.0 * row.nominal_ah
            if over:
                label = np.int32(row.step + 1)
                filled = _turn(arrays, slot, rule, out, filled, emit, label, t_ms, frame, nominal_ah, voltage_v)
        counts[0] += applied
        counts[1] += seen & 1
        counts[2] += seen >> 1
        frame, first_cell, seen = frame + 1, 0, 0
    cursor[0], cursor[1], cursor[2] = frame, 0, 0
    return filled


@njit(cache=True, nogil=True, inline="always")
def _interval(t_ms, current_a, before_ms, before_a, nominal_ah, rule):  # type: ignore[no-untyped-def]
    """By the trapezoid rule."""
    interval_s = (t_ms - before_ms) * 1e-3
    rest_a = REST_RATE * nominal_ah
    resting, was_resting = abs(current_a) <= rest_a, abs(before_a) <= rest_a
    mean_a = 0.5 * (current_a + before_a)
    moved_ah = abs(mean_a * interval_s / 3600.0)
    step_a = current_a - before_a
    if not (abs(step_a) > STEP_RATE * nominal_ah and interval_s <= STEP_MAX_S):
        step_a = np.float32(0.0)
    if interval_s > rule.max_gap_s:
        way = GAP
    elif abs(mean_a) <= rest_a:
        way = REST
    else:
        way = CHARGE if mean_a > 0 else DISCHARGE
    return Interval(way, interval_s, moved_ah, mean_a, step_a, resting, was_resting)


@njit(cache=True, nogil=True)
def _turn(arrays, slot, rule, out, filled, emit, number, t_ms, frame, nominal_ah, voltage_v):  # type: ignore[no-untyped-def]
    """Closes a cycle, makes its window due, begins the next."""
    row = arrays.rows[slot]
    _close(arrays, slot, rule, t_ms)
    if emit:
        _emit(out, filled, arrays.ring[slot], row, slot, number, t_ms, frame)
        filled += 1
    row.flags = 0
    if nominal_ah > 0:
        row.nominal_ah = nominal_ah
    _reset(row, voltage_v)
    return filled


@njit(cache=True, nogil=True, inline="always")
def _fold(row, voltage_v, mean_v, temp_degc, interval):  # type: ignore[no-untyped-def]
    """Adds the interval since the last sample; ``mean_v`` is the cell's mean voltage over it."""
    if interval.resting:
        if not interval.was_resting or math.isnan(row.rest_start_v):
            row.rest_start_v = voltage_v
        row.relaxation_v = voltage_v - row.rest_start_v
    if interval.way == GAP:
        return
    interval_s, moved_ah = interval.interval_s, interval.moved_ah
    if math.isfinite(temp_degc):
        row.temp_degc_s += temp_degc * interval_s
        row.temp_s += interval_s
        if not temp_degc <= row.temp_max_degc:
            row.temp_max_degc = temp_degc
    if interval.step_a != 0:
        resistance_ohm = (voltage_v - row.voltage_v) / interval.step_a
        if resistance_ohm > 0:
            row.resistance_sum_ohm += resistance_ohm
            row.resistance_count += 1
    if interval.way == REST:
        row.rest_s += interval_s
        return
    row.throughput_ah += moved_ah
    if interval.way == CHARGE:
        row.charge_ah += moved_ah
        row.charge_wh += moved_ah * mean_v
        row.charge_s += interval_s
        row.charge_run_ah += moved_ah
        if interval.mean_a > row.cc_current_a:
            row.cc_current_a = interval.mean_a
        elif interval.mean_a < CV_FRACTION * row.cc_current_a:
            row.cv_ah += moved_ah
            row.cv_s += interval_s
    else:
        row.discharge_ah += moved_ah
        row.discharge_wh += moved_ah * mean_v
        row.discharge_s += interval_s
        row.charge_run_ah = 0.0


@njit(cache=True, nogil=True)
def _reset(row, voltage_v):  # type: ignore[no-untyped-def]
    """Starts a new cycle; the last sample stays, so that the next interval is not lost."""
    row.charge_ah = row.discharge_ah = row.charge_wh = row.discharge_wh = 0.0
    row.charge_s = row.discharge_s = row.rest_s = row.cv_ah = row.cv_s = 0.0
    row.temp_degc_s = row.temp_s = row.resistance_sum_ohm = row.charge_run_ah = 0.0
    row.voltage_max_v = row.voltage_min_v = voltage_v
    row.temp_max_degc = row.rest_start_v = row.relaxation_v = np.float32(np.nan)
    row.cc_current_a = 0.0
    row.resistance_count = 0


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
def _emit(out, at, ring, row, slot, number, t_ms, frame):  # type: ignore[no-untyped-def]
    length = min(row.step - row.first_step, ring.shape[0])
    _copy_window(ring, row.step, length, out.windows[at])
    out.length[at] = length
    out.slot[at] = slot
    out.step[at] = row.step
    out.cycle[at] = number
    out.t_ms[at] = t_ms
    out.nominal_ah[at] = row.nominal_ah
    out.flags[at] = row.flags
    out.frame[at] = frame


@njit(cache=True, nogil=True)
def _ratio(numerator, denominator):  # type: ignore[no-untyped-def]
    return numerator / denominator if denominator > 0 else np.nan


@njit(cache=True, nogil=True)
def _close(arrays, slot, rule, t_ms):  # type: ignore[no-untyped-def]
    """Turns the accumulators into the next step of the ring, and the first cycles into the cell's own reference."""
    row = arrays.rows[slot]
    step = arrays.ring[slot, row.step % arrays.ring.shape[1]]
    reference_sum, reference_count = arrays.reference_sum[slot], arrays.reference_count[slot]
    referencing = row.step - row.first_step < rule.reference_cycles
    nominal_ah = float(row.nominal_ah)
    step[0] = row.charge_ah / nominal_ah
    step[1] = row.discharge_ah / nominal_ah
    step[2] = _ratio(row.charge_wh, row.charge_ah)
    step[3] = _ratio(row.discharge_wh, row.discharge_ah)
    step[4] = row.charge_s / 3600.0
    step[5] = row.discharge_s / 3600.0
    step[6] = row.rest_s / 3600.0
    step[7] = _ratio(step[0], step[4])
    step[8] = _ratio(step[1], step[5])
    step[9] = row.cv_ah / nominal_ah
    step[10] = row.cv_s / 3600.0
    step[11] = row.voltage_max_v
    step[12] = row.voltage_min_v
    step[13] = _ratio(row.temp_degc_s, row.temp_s)
    step[14] = row.temp_max_degc
    step[15] = _ratio(row.resistance_sum_ohm, row.resistance_count) * nominal_ah
    step[16] = row.relaxation_v
    for way in range(2):
        curve = arrays.bins[slot, way]
        _shape(curve, nominal_ah, rule, step[17 + 2 * way : 19 + 2 * way])
        step[21 + way], step[23 + way] = _against_reference(
            curve, arrays.reference_bins[slot, way], arrays.reference_bins_count[slot, way], nominal_ah, referencing
        )
        curve[:] = 0.0
    # The order here is the order of the five channels from `discharge_vs_reference` on.
    own = (step[1], step[2], step[3], step[15], step[10])
    for index in range(REFERENCES):
        value = own[index]
        count = reference_count[index]
        step[25 + index] = value - reference_sum[index] / count if count > 0 else np.nan
        if referencing and math.isfinite(value):
            reference_sum[index] += value
            reference_count[index] += 1
    step[30] = row.throughput_ah / (2.0 * nominal_ah)
    step[31] = (t_ms - row.first_ms) / 86_400_000.0
    for index in range(arrays.crossings.shape[1]):
        describe(arrays.crossings[slot, index], nominal_ah, step[32 + STATISTICS * index : 40 + STATISTICS * index])
    row.step += 1


@njit(cache=True, nogil=True)
def _shape(curve, nominal_ah, rule, out):  # type: ignore[no-untyped-def]
    """The height (1/V) and the place (V) of the largest peak of dQ/dV."""
    peak = np.argmax(curve)
    if curve[peak] > 0:
        out[0] = curve[peak] / nominal_ah / rule.bin_width_v
        out[1] = rule.bin_low_v + (peak + 0.5) * rule.bin_width_v
    else:
        out[0] = out[1] = np.nan


@njit(cache=True, nogil=True)
def _against_reference(curve, reference, reference_count, nominal_ah, referencing):  # type: ignore[no-untyped-def]
    """Charge in the voltage bins that this cycle and the cell's first cycles both crossed: its ratio, and the log10
    variance of the difference of Q(V) (Severson et al. 2019). Bins at either end of a run are only partly crossed.
    """
    count = curve.shape[0]
    low, high = 0, count - 1
    while low < count and curve[low] <= 0:
        low += 1
    while high >= 0 and curve[high] <= 0:
        high -= 1
    now = before = total = squares = difference = 0.0
    shared = 0
    for index in range(low + 1, high):
        charge = curve[index] / nominal_ah
        if reference_count[index] > 0:
            mean = reference[index] / reference_count[index]
            now += charge
            before += mean
            difference += charge - mean
            total += difference
            squares += difference * difference
            shared += 1
        if referencing:
            reference[index] += charge
            reference_count[index] += 1
    if shared < 3 or before <= 0:
        return np.nan, np.nan
    variance = max(squares / shared - (total / shared) ** 2, 0.0)
    return now / before, math.log10(variance + 1e-8)
