"""Arrays that grow: what they hold stays, and what is large is copied no more."""

from __future__ import annotations

import numpy as np
import pytest

from model.growth import LARGE_BYTES, grown
from model.schema import CycleSteps, SampleSteps
from model.steps import new_state

ROW = 1000  # float64


def test_rows_stay_and_new_ones_are_zero():
    array = np.arange(6.0).reshape(3, 2)
    larger = grown(array, 40)
    np.testing.assert_array_equal(larger[:3], array)
    assert len(larger) >= 40
    assert not larger[3:].any()


def test_small_array_takes_no_room_for_all_that_may_come():
    assert len(grown(np.zeros((4, ROW)), 5, bound=1_000_000)) == 16


def test_large_array_has_room_for_all_that_may_come():
    large = LARGE_BYTES // (8 * ROW)
    assert len(grown(np.zeros((large, ROW)), large + 1, bound=50_000)) == 50_000


def test_array_outgrows_its_bound():
    large = LARGE_BYTES // (8 * ROW)
    assert len(grown(np.zeros((large, ROW)), large + 1, bound=large)) == 2 * large


@pytest.mark.parametrize("bound", [2**50, 2**60])
def test_array_grows_where_the_system_does_not_promise_room_for_all_that_may_come(bound):
    array = grown(np.ones((LARGE_BYTES // (8 * ROW), ROW)), 2000, bound=bound)
    assert 2000 <= len(array) < bound
    assert array.sum() == LARGE_BYTES // (8 * ROW) * ROW


@pytest.mark.parametrize("steps", [CycleSteps(), SampleSteps()], ids=lambda steps: steps.kind)
def test_every_array_of_a_state_has_room_for_every_cell(steps):
    state = new_state(steps)
    for slots in (1, 17, 600, 5000, 9000, 30_000, 70_000):
        state.reserve(slots, 50_000)
        assert all(len(array) >= slots for array in state.arrays), "a large array has room for more than a small one"
        assert state.column("t_ms")[slots - 1] == -1
