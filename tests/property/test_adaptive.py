"""The law of adaptive intervals: whatever comes, one truth in ten is missed, within a bound that shrinks with time."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.adaptive import FLOOR, MISS_RATE, REACH, Bounds, Width, law, missed, widened

VALUES = st.floats(0.0, 2.0)
BOUNDS = st.lists(VALUES, min_size=3, max_size=3).map(lambda three: Bounds(*sorted(three)))
PAIRS = st.lists(st.tuples(BOUNDS, VALUES), min_size=1, max_size=300)


@settings(max_examples=200, deadline=None)
@given(pairs=PAIRS, between=st.integers(0, 30))
def test_share_of_misses_is_one_in_ten_within_the_bound_for_any_predictions_and_truths(pairs, between):
    width, misses, on_their_way = Width(), 0, deque()
    for count, (bounds, truth) in enumerate(pairs):
        on_their_way.append((bounds, width.factor, truth))
        if count < between:
            continue
        was_missed = missed(*on_their_way.popleft())
        width = width.learned(missed=was_missed)
        misses += was_missed
        truths = count - between + 1
        assert abs(misses / truths - MISS_RATE) <= law(truths, between)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), between=st.integers(0, 30))
def test_an_adversary_who_sees_the_interval_cannot_break_the_law(data, between):
    bounds, width, misses, on_their_way = Bounds(0.8, 0.9, 1.0), Width(), 0, deque()
    for count, outside in enumerate(data.draw(st.lists(st.booleans(), min_size=1, max_size=200)) * 3):
        low, _, high = widened(bounds, width.factor)
        on_their_way.append((bounds, width.factor, high * 1.001 if outside else (low + high) / 2))
        if count < between:
            continue
        was_missed = missed(*on_their_way.popleft())
        width = width.learned(missed=was_missed)
        misses += was_missed
        truths = count - between + 1
        assert abs(misses / truths - MISS_RATE) <= law(truths, between)


@given(bounds=BOUNDS, factor=st.floats(1 / REACH, REACH), truth=VALUES)
def test_missed_is_what_lies_outside_the_widened_interval(bounds, factor, truth):
    low, middle, high = widened(bounds, factor)
    assert 0.0 <= low <= middle == bounds.p50 <= high
    away = max(low - truth, truth - high)
    if abs(away) > 1e-9 and 1.01 / REACH < factor < REACH / 1.01:
        assert missed(bounds, factor, truth) == (away > 0)


@given(bounds=BOUNDS)
def test_factor_one_leaves_an_interval_as_it_is_but_for_the_least_width(bounds):
    low, _, high = widened(bounds, 1.0)
    least = max(FLOOR * bounds.p50, 1e-9)
    assert low == pytest.approx(max(min(bounds.p05, bounds.p50 - least), 0.0), abs=1e-12)
    assert high == pytest.approx(max(bounds.p95, bounds.p50 + least), abs=1e-12)


@pytest.mark.parametrize("too_wide", [1 / 8, 1.0, 8.0])
def test_coverage_comes_to_ninety_percent_from_intervals_that_are_too_narrow_or_too_wide(too_wide):
    rng = np.random.default_rng(5)
    reach = 1.645 * 0.01 * too_wide
    width, inside = Width(), []
    for truth in 0.9 + rng.normal(0, 0.01, 4000):
        bounds = Bounds(0.9 - reach, 0.9, 0.9 + reach)
        low, _, high = widened(bounds, width.factor)
        inside.append(low <= truth <= high)
        width = width.learned(missed=missed(bounds, width.factor, truth))
    assert np.mean(inside[-2000:]) == pytest.approx(0.9, abs=0.01)
    assert width.factor * too_wide == pytest.approx(1.0, rel=0.35)
