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
from bench.accuracy.near import Near
from bench.accuracy.ridge import Ridge
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
