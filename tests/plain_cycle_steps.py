"""Cycle steps as they are said, one cell of a frame after the other: slow, and what the fast kernel is held against."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from model.block import LATE_INPUT, MASKED_INPUT
from model.cycle_steps import (
    CHARGE_RUN,
    CV_FRACTION,
    REST_RATE,
    STEP_MAX_S,
    STEP_RATE,
    _reset,
    _turn,
    new_cycle_state,
)
from model.schema import CycleSteps
from model.state import StepState


def new_plain_state(steps: CycleSteps, slots: int) -> StepState:
    """An empty state with room for ``slots`` cells."""
    state = new_cycle_state(steps)
    state.reserve(slots)
    state._kernel = _update
    return state


@njit
def _update(block, cursor, out, filled, emit, arrays, counts, rule):  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915
    capacity = out.slot.shape[0]
    frames = block.first_slot.shape[0]
    frame, first_cell, seen = cursor[0], cursor[1], cursor[2]
    while frame < frames:
        t_ms, current_a, number = block.t_ms[frame], block.current_a[frame], block.cycle[frame]
        cells, probes = block.cells[frame], block.probes[frame]
        voltage_start, temp_start = block.voltage_start[frame], block.temp_start[frame]
        nominal_ah = block.nominal_ah[frame]
        for cell in range(first_cell, cells):
            if emit and filled == capacity:
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
                _fold(row, arrays.bins[slot], t_ms, voltage_v, current_a, temp_degc, rule)
            row.voltage_max_v = max(row.voltage_max_v, voltage_v)
            row.voltage_min_v = min(row.voltage_min_v, voltage_v)
            row.t_ms, row.voltage_v, row.current_a = t_ms, voltage_v, current_a

            if rule.close_on == 1:
                over = row.charge_run_ah >= CHARGE_RUN * row.nominal_ah
                over = over and row.discharge_ah >= rule.min_depth * row.nominal_ah
            else:
                over = (rule.close_on == 2 or number < 0) and row.charge_ah + row.discharge_ah >= 2.0 * row.nominal_ah
            if over:
                label = np.int32(row.step + 1)
                filled = _turn(arrays, slot, rule, out, filled, emit, label, t_ms, frame, nominal_ah, voltage_v)
        counts[1] += seen & 1
        counts[2] += seen >> 1
        frame, first_cell, seen = frame + 1, 0, 0
    cursor[0], cursor[1], cursor[2] = frame, 0, 0
    return filled


@njit
def _fold(row, bins, t_ms, voltage_v, current_a, temp_degc, rule):  # type: ignore[no-untyped-def]
    """Adds the interval since the last sample, by the trapezoid rule."""
    nominal_ah = row.nominal_ah
    interval_s = (t_ms - row.t_ms) * 1e-3
    rest_a = REST_RATE * nominal_ah
    resting, was_resting = abs(current_a) <= rest_a, abs(row.current_a) <= rest_a
    if resting:
        if not was_resting or math.isnan(row.rest_start_v):
            row.rest_start_v = voltage_v
        row.relaxation_v = voltage_v - row.rest_start_v
    if interval_s > rule.max_gap_s:
        return
    mean_a, mean_v = 0.5 * (current_a + row.current_a), 0.5 * (voltage_v + row.voltage_v)
    moved_ah = mean_a * interval_s / 3600.0
    if math.isfinite(temp_degc):
        row.temp_degc_s += temp_degc * interval_s
        row.temp_s += interval_s
        if not temp_degc <= row.temp_max_degc:
            row.temp_max_degc = temp_degc
    step_a = current_a - row.current_a
    if abs(step_a) > STEP_RATE * nominal_ah and interval_s <= STEP_MAX_S:
        resistance_ohm = (voltage_v - row.voltage_v) / step_a
        if resistance_ohm > 0:
            row.resistance_sum_ohm += resistance_ohm
            row.resistance_count += 1
    if abs(mean_a) <= rest_a:
        row.rest_s += interval_s
        return
    row.throughput_ah += abs(moved_ah)
    bin_index = min(max(int((mean_v - rule.bin_low_v) / rule.bin_width_v), 0), bins.shape[1] - 1)
    if mean_a > 0:
        row.charge_ah += moved_ah
        row.charge_wh += moved_ah * mean_v
        row.charge_s += interval_s
        row.charge_run_ah += moved_ah
        bins[0, bin_index] += moved_ah
        if mean_a > row.cc_current_a:
            row.cc_current_a = mean_a
        elif mean_a < CV_FRACTION * row.cc_current_a:
            row.cv_ah += moved_ah
            row.cv_s += interval_s
    else:
        row.discharge_ah -= moved_ah
        row.discharge_wh -= moved_ah * mean_v
        row.discharge_s += interval_s
        row.charge_run_ah = 0.0
        bins[1, bin_index] -= moved_ah
