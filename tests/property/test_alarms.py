"""The compiled rules of alerts, and the probability of a warranty's."""

from __future__ import annotations

from itertools import pairwise
from math import nan
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.alarms import KINDS, Rule, judge, new_cells
from stream.warranty import crossing_probability
from tests.answers import answer, of_pack
from tests.plain_alarms import PlainPack

CELLS = 6
NUMBERS = np.arange(CELLS, dtype=np.int32)
ANSWERS = st.builds(
    lambda cell, soh, rul, p, flags, width: answer(
        cell, soh, rul_cycles=rul, p_warranty=p, flags=flags, half_width=width
    ),
    st.integers(0, CELLS - 1),
    st.sampled_from([nan, 0.7, 0.79, 0.81, 0.9, 0.94, 0.95, 0.951]),
    st.sampled_from([nan, 10.0, 300.0]),
    st.sampled_from([nan, 0.1, 0.6]),
    st.integers(0, 7),
    st.sampled_from([0.001, 0.02, 0.1]),
)
RECORDS = st.lists(st.lists(ANSWERS, min_size=1, max_size=CELLS), max_size=25)


def packed(records: list[list[np.ndarray]]) -> np.ndarray:
    rows = of_pack(*(each for record in records for each in record))
    rows["offset"] = [at for at, record in enumerate(records) for _ in record]
    return rows


@settings(max_examples=400, deadline=None)
@given(records=RECORDS, patience=st.integers(1, 4))
def test_alerts_are_those_of_their_definitions(records, patience):
    rule = Rule(eol_soh=0.8, p_warranty=0.5, fade_soh=0.03, outlier_soh=0.03, patience=patience)
    rows = packed(records)
    events = judge(new_cells(NUMBERS), rows, rule)
    found = [(int(rows[each["answer"]]["cell"]), KINDS[each["kind"]], bool(each["raised"])) for each in events]
    assert found == PlainPack(rule).take(rows)


@settings(max_examples=200, deadline=None)
@given(records=RECORDS, cuts=st.sets(st.integers(0, 25)))
def test_records_cut_anywhere_give_the_same_cells_and_alerts(records, cuts):
    rule = Rule(eol_soh=0.8, p_warranty=0.5, fade_soh=0.03, outlier_soh=0.03, patience=2)
    rows, whole, parts = packed(records), new_cells(NUMBERS), new_cells(NUMBERS)
    expected = judge(whole, rows, rule)
    at = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    bounds = np.searchsorted(rows["offset"], at)
    found = [judge(parts, rows[begin:end], rule) for begin, end in pairwise(bounds)]
    for name in ("kind", "raised", "value", "limit"):
        np.testing.assert_array_equal(np.concatenate([each[name] for each in found]), expected[name])
    assert parts.tobytes() == whole.tobytes()


LIVES = st.lists(st.floats(0, 5000, width=32), min_size=3, max_size=3).map(sorted)


@settings(max_examples=200, deadline=None)
@given(lives=LIVES, warranty=st.lists(st.integers(0, 6000), min_size=2, max_size=8))
def test_a_longer_warranty_is_crossed_with_no_smaller_probability(lives, warranty):
    cycles = np.array(sorted(warranty))
    found = crossing_probability(np.tile(np.array(lives, np.float32), (len(cycles), 1)), cycles)
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


@given(lives=st.lists(st.integers(0, 3000), min_size=3, max_size=3, unique=True).map(sorted))
def test_a_warranty_that_ends_at_a_quantile_of_the_life_is_crossed_with_its_probability(lives):
    found = crossing_probability(np.tile(np.array(lives, np.float32), (3, 1)), np.array(lives))
    assert found.tolist() == pytest.approx([0.05, 0.5, 0.95])


@given(lives=LIVES, cycles=st.integers(0, 6000))
def test_each_side_of_the_median_is_half_of_a_normal_distribution(lives, cycles):
    low, middle, high = lives
    width = max(middle - low if cycles < middle else high - middle, 1e-3)
    expected = NormalDist(middle, width / NormalDist().inv_cdf(0.95)).cdf(cycles)
    found = crossing_probability(np.array([lives], np.float32), np.array([cycles]))
    assert found == pytest.approx(expected, abs=1e-6)


def test_of_a_warranty_that_is_over_or_a_life_that_is_not_known_nothing_is_said():
    lives = np.array([[10, 20, 30], [nan, nan, nan]], np.float32)
    assert np.isnan(crossing_probability(lives, np.array([-1, 5]))).all()
