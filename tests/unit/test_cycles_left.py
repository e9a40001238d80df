"""Cycles left: what is seen of a life looks only backwards, and a ridge for each age counts it down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.accuracy.by_age import ByAge
from bench.accuracy.cell import Cell
from bench.accuracy.life_left import commissioned, left_cell
from bench.accuracy.percycle import Life


def recorded() -> Life:
    """150 cycles of a cell that ages as it likes."""
    rng = np.random.default_rng(0)
    soh = 1.05 - 0.25 * (np.arange(150) / 150) ** 2 + rng.normal(0, 0.001, 150)
    return Life("c", "g", rng.normal(size=(150, 16)).cumsum(0), np.arange(1, 151), soh)


@pytest.mark.parametrize("track", ["A", "B"])
@pytest.mark.parametrize("cut", [1, 9, 10, 57, 149])
def test_what_is_seen_of_a_life_does_not_hang_on_how_long_it_goes_on(track: str, cut: int) -> None:
    life = recorded()
    young = replace(life, statistics=life.statistics[:cut], cycle=life.cycle[:cut], soh=life.soh[:cut])
    np.testing.assert_array_equal(left_cell(young, track).steps, left_cell(life, track).steps[:cut])


def test_of_its_capacities_a_commissioned_cell_shows_the_first_and_is_not_asked_about_it() -> None:
    life = recorded()
    other = replace(life, soh=np.r_[life.soh[:1], life.soh[:0:-1]])
    one, two, told_nothing = (*(commissioned(left_cell(each, "B")) for each in (life, other)), left_cell(life, "B"))
    np.testing.assert_array_equal(one.steps, two.steps)
    np.testing.assert_array_equal(one.steps, np.c_[told_nothing.steps, np.full(150, life.soh[0])])
    np.testing.assert_array_equal(one.exam().truth[:, 0], life.soh[1:])


def counted_down(cycles: int) -> Cell:
    """A cell that shows from the start how long it will live."""
    count = np.arange(cycles)
    left = (cycles - 1.0 - count)[:, None]
    pace = np.full((cycles, 1), np.log(cycles))
    return Cell(f"c{cycles}", "g", pace, count, count + 1, left, np.zeros_like(left), left, left)


def test_a_ridge_by_age_counts_a_life_down_whose_pace_shows_from_the_start() -> None:
    model = ByAge(ending=(0,)).fit([counted_down(cycles) for cycles in (60, 70, 80, 90, 110, 120, 130, 140)], 0)
    asked = counted_down(100)
    said = model.predict(asked)
    assert np.abs(said - asked.truth).mean() < 4
    assert (said >= 0).all()
