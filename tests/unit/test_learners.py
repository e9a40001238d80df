"""What learners of the accuracy protocols make of cells whose law is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.accuracy.averaged import Averaged
from bench.accuracy.baseline import Line, Mean
from bench.accuracy.cell import Cell
from bench.accuracy.faded import LEAST, Faded
from bench.accuracy.gaussian import Gaussian
from bench.accuracy.horizons import Horizons
from bench.accuracy.near import Near
from bench.accuracy.ridge import Ridge
from bench.accuracy.similar import Similar
from bench.accuracy.trees import Trees
from tests.protocol_cells import fading


def test_rows_near_the_asked_one_are_all_that_is_learned_from() -> None:
    cells = [fading(index) for index in range(12)]
    spoiled = [cell.relabelled(np.where(cell.cycle[:, None] <= 20, cell.truth, 9.0)) for cell in cells]
    one, two = (Near(Ridge(), 10, 20).fit(each, 0).predict(cells[0]) for each in (cells, spoiled))
    np.testing.assert_array_equal(one, two)


def test_a_fade_is_learned_by_its_logarithm() -> None:
    def cell(index: int) -> Cell:
        steps = np.random.default_rng(index).normal(size=(20, 2))
        anchor = np.full((20, 1), 1.0)
        truth = anchor + LEAST - np.exp(0.3 * steps[:, :1] - 3.0)
        return replace(fading(index, 20), steps=steps, anchor=anchor, truth=truth)

    model = Faded(Ridge()).fit([cell(index) for index in range(40)], 0)
    other = cell(99)
    np.testing.assert_allclose(model.predict(other), other.truth, rtol=1e-3)
    far = replace(other, steps=other.steps - 100)
    assert (model.predict(far) <= far.anchor + LEAST).all()


def test_no_fade_is_said_to_go_lower_than_any_that_was_learned() -> None:
    cells = [fading(index) for index in range(12)]
    farther = replace(cells[0], steps=cells[0].steps + 1e3), replace(cells[0], steps=cells[0].steps - 1e3)
    model = Faded(Ridge()).fit(cells[1:], 0)
    lowest = min(float(np.nanmin(cell.truth)) for cell in cells[1:])
    assert min(float(model.predict(cell).min()) for cell in farther) == lowest


def test_gaussian_leaves_a_cell_out_as_if_it_had_not_been_there() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 12))
    kernel, label = rows @ rows.T + 12 * np.eye(12), rng.normal(size=(12, 1))
    own = np.arange(12) >= 9
    inverse = np.linalg.inv(kernel)
    told = kernel[np.ix_(own, ~own)] @ np.linalg.inv(kernel[np.ix_(~own, ~own)]) @ label[~own]
    expected = float(np.mean((label[own] - told) ** 2))
    assert Gaussian()._left_out(inverse, inverse @ label, own) == pytest.approx(expected)


def stepped(index: int) -> Cell:
    """A cell whose label jumps where its first feature passes zero, and which of the others says nothing."""
    steps = np.random.default_rng(index).normal(size=(40, 3))
    steps[::7, 1] = np.nan
    cell = fading(index)
    return Cell(
        **{name: getattr(cell, name) for name in Cell.__slots__ if name not in ("steps", "truth")},
        steps=steps,
        truth=np.where(steps[:, :1] > 0, 5.0, 2.0),
    )


def test_trees_learn_a_jump() -> None:
    train, test = [stepped(index) for index in range(9)], stepped(9)
    by_trees = np.abs(Trees(count=20).fit(train, 0).predict(test) - test.truth).mean()
    by_plane = np.abs(Ridge().fit(train, 0).predict(test) - test.truth).mean()
    assert by_trees < 0.6 * by_plane


def test_a_tree_with_a_leaf_for_every_row_knows_them_by_heart() -> None:
    cells = [stepped(index).relabelled(np.random.default_rng(index).normal(size=(40, 2))) for index in range(3)]
    cells = [replace(cell, anchor=np.zeros((40, 2))) for cell in cells]
    model = Trees(count=3, leaf=1).fit(cells, 0)
    np.testing.assert_allclose(model.predict(cells[1]), cells[1].truth, atol=1e-9)


def test_an_average_is_the_mean_of_fits_that_differ() -> None:
    cells = [fading(index) for index in range(4)]
    model = Averaged(Trees(count=1), 2).fit(cells, 0)
    one, two = (each.predict(cells[0]) for each in model.models)
    assert np.abs(one - two).max() > 0
    np.testing.assert_allclose(model.predict(cells[0]), (one + two) / 2)


def test_mean_of_a_life_counts_down() -> None:
    cells = [fading(index).relabelled(np.arange(39.0 + index, index - 1.0, -1.0)[:, None]) for index in (0, 2)]
    said = Mean(ending=(0,)).fit(cells, 0).predict(cells[0])
    np.testing.assert_allclose(said[:3, 0], [40.0, 39.0, 38.0])


def test_line_continues_the_mean_fade_of_training_cells() -> None:
    cells = [fading(index) for index in range(4)]
    said = Line().fit(cells, 0).predict(cells[0])
    slope = np.mean([(cell.truth[1] - cell.truth[0])[0] for cell in cells])
    np.testing.assert_allclose(said[:, 0], 1.0 + slope * cells[0].cycle, atol=1e-9)


def forecast(index: int, known: int = 40, wanted: int = 60, lived: int = 100) -> Cell:
    """A cell that fades along the same curve as all, at a pace of its own, asked about once."""
    pace = np.random.default_rng(index).uniform(0.8, 1.3)
    soh = 1.0 - 0.1 * (np.arange(lived) / 60 / pace) ** 3
    steps = np.stack((soh, np.full(lived, np.nan)), 1)
    at = np.arange(known - 11, known + 10, 10)
    end = at + wanted - known
    shown, truth = soh[at, None], soh[end, None]
    return Cell(f"c{index}", "one", steps, at, end + 1, truth, shown, shown, shown, examined=at + 1 == known)


def test_a_similar_fade_at_another_pace_goes_on_alike() -> None:
    cells = [forecast(index) for index in range(12)]
    asked = forecast(99).exam()
    said = Similar((1,)).fit(cells, 0).predict(asked)
    assert np.abs(said - asked.truth).max() < 0.1 * np.abs(asked.anchor - asked.truth).max()


def test_what_a_similar_fade_says_hangs_on_nothing_after_the_asked_step_and_on_no_label() -> None:
    cells = [forecast(index) for index in range(12)]
    asked = forecast(99).exam()
    other = replace(asked, steps=np.r_[asked.steps[:40], 9.0 - asked.steps[40:]], truth=asked.truth + 7.0)
    model = Similar((1,)).fit(cells, 0)
    np.testing.assert_array_equal(model.predict(asked), model.predict(other))
    np.testing.assert_array_equal(model.predict(asked), Similar((1,)).fit(cells, 1).predict(asked))


def test_a_cell_is_not_told_by_its_own_fade() -> None:
    cells = [forecast(index) for index in range(12)]
    asked = cells[0].exam()
    with_it, without = (Similar((1,)).fit(each, 0) for each in (cells, cells[1:]))
    without = replace(without, scale=with_it.scale, likeness=with_it.likeness, lowest=with_it.lowest)
    np.testing.assert_array_equal(with_it.predict(asked), without.predict(asked))


def test_a_similar_fade_is_not_said_to_go_lower_than_any_that_was_learned() -> None:
    cells = [forecast(index) for index in range(12)]
    asked = forecast(99).exam()
    low = replace(asked, anchor=asked.anchor - 5.0)
    assert Similar((1,)).fit(cells, 0).predict(low).item() == min(float(cell.truth.min()) for cell in cells)


def test_other_horizons_teach_and_are_not_answered() -> None:
    cells = [forecast(index) for index in range(6)]
    model = Horizons(Ridge(), (5, 10)).fit(cells, 0)
    np.testing.assert_allclose(model.predict(cells[0]), Ridge().fit(cells, 0).predict(cells[0]), atol=1e-3)
    assert model.model.predict(cells[0]).shape == (3, 3)


def test_a_horizon_is_the_capacity_so_many_cycles_on_and_unknown_where_the_cell_had_ended() -> None:
    cell = forecast(0)
    further = Horizons(Ridge(), (30, 70))._further(cell)
    np.testing.assert_array_equal(further.truth[:, 1], cell.steps[cell.at + 30, 0])
    np.testing.assert_array_equal(np.isnan(further.truth[:, 2]), cell.at + 70 >= 100)
    np.testing.assert_array_equal(further.truth[:, 0], cell.truth[:, 0])
