"""What a cycle step is: each feature against a value worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from model.block import LATE_INPUT, MASKED_INPUT
from model.schema import CycleSteps
from model.steps import APPLIED, DUPLICATE, LATE, MASKED, new_state
from tests.telemetry import T0_MS, block, fed

NAMES = [channel.name for channel in CycleSteps().channels]


def minutes(*at: float) -> list[int]:
    return [T0_MS + round(60_000 * minute) for minute in at]


def last_step(windows: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, windows[-1, -1].tolist(), strict=True))


def test_step_holds_charge_energy_and_times_of_its_cycle():
    # 10 min charge at 2 A and 3.6 V, then 5 min discharge at 2 A and 3.3 V; changes of current take one minute.
    at = list(range(17))
    current_a = [2.0] * 11 + [-2.0] * 6
    voltage_v = [3.6] * 11 + [3.3] * 6
    cycle = [1] * 17
    state = new_state(CycleSteps(), 1)
    windows = fed(state, block(minutes(*at, 17), [*current_a, 0.0], [*voltage_v, 3.4], cycle=[*cycle, 2]))
    assert windows.step.tolist() == [1]
    assert windows.cycle.tolist() == [1]
    step = last_step(windows.windows)
    nominal_ah = 2.0
    assert step["charge"] == pytest.approx(2.0 * 10 / 60 / nominal_ah, rel=1e-6)
    assert step["discharge"] == pytest.approx(2.0 * 5 / 60 / nominal_ah, rel=1e-6)
    assert step["charge_voltage_mean"] == pytest.approx(3.6, rel=1e-6)
    assert step["discharge_voltage_mean"] == pytest.approx(3.3, rel=1e-6)
    assert step["charge_time"] == pytest.approx(10 / 60, rel=1e-6)
    assert step["discharge_time"] == pytest.approx(5 / 60, rel=1e-6)
    assert step["rest_time"] == pytest.approx(
        1 / 60, rel=1e-6
    )  # the minute in which the current turned: 0 A on average
    assert step["charge_rate_mean"] == pytest.approx(1.0, rel=1e-6)
    assert step["voltage_max"] == pytest.approx(3.6)
    assert step["voltage_min"] == pytest.approx(3.3)
    assert step["resistance"] == pytest.approx((3.3 - 3.6) / (-2.0 - 2.0) * nominal_ah, rel=1e-5)
    assert step["equivalent_full_cycles"] == pytest.approx(2.0 * 15 / 60 / (2 * nominal_ah), rel=1e-6)
    assert step["age"] == pytest.approx(17 / 1440, rel=1e-6)


def test_constant_voltage_phase_is_the_charge_below_the_plateau_of_current():
    current_a = [2.0, 2.0, 2.0, 1.0, 0.5, 0.5]
    state = new_state(CycleSteps(), 1)
    windows = fed(state, block(minutes(*range(7)), [*current_a, 0.0], [4.0] * 7, cycle=[1] * 6 + [2]))
    step = last_step(windows.windows)
    assert step["cv_time"] == pytest.approx(3 / 60, rel=1e-6)
    assert step["cv_charge"] == pytest.approx((1.5 + 0.75 + 0.5) / 60 / 2.0, rel=1e-6)


def test_relaxation_is_the_voltage_after_rest_less_the_first_at_rest():
    state = new_state(CycleSteps(), 1)
    frames = block(
        minutes(0, 1, 2, 3, 4), [-2.0, 0.0, 0.0, 0.0, 0.0], [3.2, 3.3, 3.34, 3.36, 3.4], cycle=[1, 1, 1, 1, 2]
    )
    assert last_step(fed(state, frames).windows)["relaxation"] == pytest.approx(0.06, abs=1e-6)


def test_charge_is_not_integrated_across_a_gap():
    steps = CycleSteps(max_gap_s=300)
    frames = block(minutes(0, 1, 60, 61, 62), [2.0, 2.0, 2.0, 2.0, 0.0], [3.6] * 5, cycle=[1, 1, 1, 1, 2])
    step = last_step(fed(new_state(steps, 1), frames).windows)
    assert step["charge"] == pytest.approx(2.0 * 2 / 60 / 2.0, rel=1e-6)


def test_cell_reads_the_temperature_probe_at_its_position():
    state = new_state(CycleSteps(), 4)
    temps = [[20.0, 40.0]] * 3
    frames = block(minutes(0, 1, 2), [2.0, 2.0, 0.0], [[3.6] * 4] * 3, cycle=[1, 1, 2], temp_degc=temps)
    windows = fed(state, frames)
    assert windows.slot.tolist() == [0, 1, 2, 3]
    assert windows.windows[:, -1, NAMES.index("temp_mean")].tolist() == [20.0, 20.0, 40.0, 40.0]


def test_missing_temperature_leaves_its_channels_empty_and_nothing_else():
    windows = fed(new_state(CycleSteps(), 1), block(minutes(0, 1, 2), [2.0, 2.0, 0.0], [3.6] * 3, cycle=[1, 1, 2]))
    step = last_step(windows.windows)
    assert np.isnan(step["temp_mean"])
    assert np.isnan(step["temp_max"])
    assert step["charge"] > 0


def test_cycle_closes_where_a_charge_begins_after_enough_was_drawn():
    steps = CycleSteps(close_on="charge", min_depth=0.05)
    current_a = [-2.0] * 10 + [2.0] * 10 + [-2.0] * 10 + [2.0] * 10
    windows = fed(new_state(steps, 1), block(minutes(*range(40)), current_a, [3.6] * 40))
    assert windows.step.tolist() == [1, 2]
    assert windows.t_ms.tolist() == [T0_MS + 60_000 * 11, T0_MS + 60_000 * 31]


def test_braking_does_not_close_a_charge_cycle():
    steps = CycleSteps(close_on="charge", min_depth=0.05)
    current_a = ([-2.0] * 5 + [0.6]) * 10  # a minute of recovery is less than 1 % of the capacity
    windows = fed(new_state(steps, 1), block(minutes(*range(60)), current_a, [3.6] * 60))
    assert windows.step.size == 0


def test_partial_use_closes_by_equivalent_full_cycles():
    steps = CycleSteps(close_on="equivalent_full_cycle")
    current_a = np.tile([2.0, 2.0, 2.0, -2.0, -2.0, -2.0], 200).astype(np.float32)
    moved_ah = 2.0 / 60 * (len(current_a) - 1) * 2 / 3  # one minute in three turns the current: 0 A on average
    windows = fed(new_state(steps, 1), block(minutes(*range(len(current_a))), current_a, [3.6] * len(current_a)))
    assert windows.step.size == int(moved_ah / (2 * 2.0))


def test_cell_without_cycle_numbers_closes_by_equivalent_full_cycles():
    current_a = np.tile([2.0] * 30 + [-2.0] * 30, 10).astype(np.float32)
    at = minutes(*range(len(current_a)))
    numbered = fed(new_state(CycleSteps(close_on="equivalent_full_cycle"), 1), block(at, current_a, [3.6] * len(at)))
    unnumbered = fed(new_state(CycleSteps(close_on="cycle"), 1), block(at, current_a, [3.6] * len(at)))
    assert numbered.step.size > 3
    np.testing.assert_array_equal(numbered.windows, unnumbered.windows)


def test_late_and_repeated_frames_change_nothing_and_are_counted():
    frames = block(minutes(0, 1, 2, 3), [2.0] * 4, [3.6] * 4, cycle=[1, 1, 1, 2])
    clean = fed(new_state(CycleSteps(), 1), frames)
    state = new_state(CycleSteps(), 1)
    again = block(minutes(0, 1, 2, 2, 1, 3), [2.0, 2.0, 2.0, 9.0, 9.0, 2.0], [3.6] * 6, cycle=[1, 1, 1, 1, 1, 2])
    windows = fed(state, again)
    np.testing.assert_array_equal(clean.windows, windows.windows)
    assert clean.flags.tolist() == [0]
    assert windows.flags.tolist() == [LATE_INPUT]
    assert (state.counts[APPLIED], state.counts[LATE], state.counts[DUPLICATE]) == (4, 1, 1)


def test_invalid_reading_masks_the_cell_and_not_its_neighbours():
    voltage_v = [[3.6, 3.6], [np.nan, 3.6], [3.6, 3.6], [3.6, 3.6]]
    state = new_state(CycleSteps(), 2)
    windows = fed(state, block(minutes(0, 1, 2, 3), [2.0] * 4, voltage_v, cycle=[1, 1, 1, 2]))
    assert windows.flags.tolist() == [MASKED_INPUT, 0]
    assert state.counts[MASKED] == 1
    # The charge of the masked minute is not lost: the interval reaches from valid reading to valid reading.
    assert windows.windows[0, -1, 0] == windows.windows[1, -1, 0]


def test_flag_belongs_to_the_step_in_which_it_was_raised_and_to_no_later_one():
    voltage_v = [3.6, np.nan, 3.6, 3.6, 3.6, 3.6]
    frames = block(minutes(*range(6)), [2.0] * 6, voltage_v, cycle=[1, 1, 1, 2, 2, 3])
    assert fed(new_state(CycleSteps(), 1), frames).flags.tolist() == [MASKED_INPUT, 0]


def test_window_is_right_aligned_and_keeps_the_newest_steps():
    steps = CycleSteps(window=4)
    count = 7
    at = np.arange(count * 3)
    frames = block(minutes(*at), [2.0, -2.0, 2.0] * count, 3.3 + 0.01 * at, cycle=(at // 3).tolist())
    windows = fed(new_state(steps, 1), frames)
    assert windows.length.tolist() == [1, 2, 3, 4, 4, 4]
    peak = NAMES.index("voltage_max")
    expected = [3.3 + 0.01 * (3 * cycle + 2) for cycle in range(6)]
    np.testing.assert_allclose(windows.windows[1, :, peak], [np.nan, np.nan, *expected[:2]], rtol=1e-6)
    np.testing.assert_allclose(windows.windows[-1, :, peak], expected[2:6], rtol=1e-6)


def test_fade_shows_against_the_cells_own_first_cycles():
    at, current_a, voltage_v, cycle = [], [], [], []
    for number in range(8):
        points = 40 if number < 5 else 32  # from the sixth cycle on, a fifth of the charge is gone in each voltage bin
        for index in range(points):
            at.append(len(at))
            current_a.append(2.0)
            voltage_v.append(3.0 + index / points)
            cycle.append(number)
    steps = CycleSteps(reference_cycles=5)
    windows = fed(new_state(steps, 1), block(minutes(*at), current_a, voltage_v, cycle=cycle))
    ratio = windows.windows[:, -1, NAMES.index("charge_overlap_ratio")]
    assert np.isnan(ratio[0])
    assert ratio[4] == pytest.approx(1.0, abs=0.05)
    assert ratio[6] == pytest.approx(0.8, abs=0.05)
    variance = windows.windows[:, -1, NAMES.index("charge_delta_log_variance")]
    assert variance[6] > variance[4] + 1
