"""What a sample step is: the grid of event time, its means, its gaps."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from model.block import MASKED_INPUT
from model.schema import SampleSteps
from model.steps import new_state
from tests.telemetry import T0_MS, block, fed

STEPS = SampleSteps(period_s=10, max_gap_s=40, window=4, stride=4)
EACH = SampleSteps(period_s=10, max_gap_s=10, window=4, stride=1)


def seconds(*at: float) -> list[int]:
    return [T0_MS + round(1000 * second) for second in at]


def newest(windows: np.ndarray) -> np.ndarray:
    return windows[:, -1, :]


def test_step_is_the_mean_of_the_samples_of_its_period():
    frames = block(seconds(0, 4, 8, 10), [1.0, 2.0, 3.0, 9.0], [3.0, 3.3, 3.6, 9.0], temp_degc=[20.0, 21.0, 25.0, 9.0])
    windows = fed(new_state(EACH, 1), frames)
    np.testing.assert_allclose(newest(windows.windows), [[3.3, 2.0 / 2.0, 22.0]], rtol=1e-6)


def test_short_hole_repeats_the_last_step():
    windows = fed(new_state(STEPS, 1), block(seconds(0, 10, 40), [2.0] * 3, [3.0, 3.5, 4.0]))
    assert windows.step.tolist() == [4]
    np.testing.assert_allclose(windows.windows[0, :, 0], [3.0, 3.5, 3.5, 3.5], rtol=1e-6)


def test_long_gap_starts_a_new_window_and_the_step_count_goes_on():
    windows = fed(new_state(EACH, 1), block(seconds(0, 10, 60, 70), [2.0] * 4, [3.0, 3.5, 4.0, 4.1]))
    assert windows.step.tolist() == [1, 2, 3]
    assert windows.length.tolist() == [1, 2, 1]
    np.testing.assert_allclose(windows.windows[2, :, 0], [np.nan, np.nan, np.nan, 4.0], rtol=1e-6)


def test_prediction_is_due_at_every_stride():
    steps = SampleSteps(period_s=10, max_gap_s=20, window=4, stride=3)
    windows = fed(new_state(steps, 1), block(seconds(*range(0, 110, 10)), [1.0] * 11, [3.3] * 11))
    assert windows.step.tolist() == [3, 6, 9]


def test_missing_temperature_is_missing_in_the_step():
    windows = fed(new_state(EACH, 1), block(seconds(0, 10), [1.0, 1.0], [3.3, 3.3]))
    assert np.isnan(newest(windows.windows)[0, 2])


def test_current_is_relative_to_the_nominal_capacity():
    small = fed(new_state(EACH, 1), block(seconds(0, 10), [2.0, 2.0], [3.3, 3.3], nominal_ah=2.0))
    large = fed(new_state(EACH, 1), block(seconds(0, 10), [66.0, 66.0], [3.3, 3.3], nominal_ah=66.0))
    np.testing.assert_array_equal(small.windows, large.windows)


def test_gap_that_a_stride_cannot_hold_is_refused():
    with pytest.raises(ValidationError, match="max_gap_s = 41"):
        SampleSteps(period_s=10, max_gap_s=41, window=4, stride=4)


def test_longest_bridged_gap_makes_at_most_two_windows_due():
    steps = SampleSteps(period_s=10, max_gap_s=40, window=4, stride=4)
    for head in range(4):
        at = [*range(0, 10 * head + 1, 10), 10 * head + 40 - 1e-3]
        state = new_state(steps, 1)
        assert fed(state, block(seconds(*at), [1.0] * len(at), [3.3] * len(at)), capacity=2).step.size <= 2


def test_flag_belongs_to_the_prediction_before_which_it_was_raised_and_to_no_later_one():
    frames = block(seconds(0, 5, 10, 20, 30), [1.0] * 5, [3.3, np.nan, 3.3, 3.3, 3.3])
    assert fed(new_state(EACH, 1), frames).flags.tolist() == [MASKED_INPUT, 0, 0]
