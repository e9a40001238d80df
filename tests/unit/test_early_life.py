"""Lives from early curves: a slower copy of a cell shows later what the cell showed, and is left out with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.accuracy.cell import Cell
from bench.accuracy.early_life import life_steps
from bench.accuracy.gaussian import Gaussian


@pytest.mark.parametrize("pace", [1.5, 2.0])
def test_a_slower_cell_shows_at_each_cycle_what_it_would_have_shown_before(pace: float) -> None:
    cycle = np.arange(2, 101)
    voltage = np.linspace(0, 1, 200)

    def seen(aged: np.ndarray, as_if: float = 1.0) -> np.ndarray:
        curves = 1.1 * voltage - 1e-5 * aged[:, None] ** 2 * voltage**2
        return life_steps(curves, 1.1 - 1e-3 * aged, as_if)[-1]

    slow = seen(cycle / pace)  # lives as much longer, and is seen at its own cycle 100
    np.testing.assert_allclose(seen(cycle, pace), slow, rtol=0.02, atol=0.02)
    assert np.abs(seen(cycle) - slow).max() > 0.1


def test_a_slower_cell_is_seen_no_earlier_than_it_was_recorded() -> None:
    rng = np.random.default_rng(0)
    curves, capacity = rng.normal(size=(99, 200)).cumsum(1), rng.normal(size=99)
    later_curves, later = curves.copy(), capacity.copy()
    later_curves[60:] += 1.0
    later[60:] += 1.0
    one, two = life_steps(curves, capacity, 1.5), life_steps(later_curves, later, 1.5)
    np.testing.assert_array_equal(one[:89], two[:89])  # cycle 90 is the recorded cycle 60, in step 58
    assert (one[-1] != two[-1]).any()


def test_a_process_leaves_a_cell_out_with_its_copies() -> None:
    """Where a feature is noise, a copy with the same label must not make it look like a good one."""

    def cell(index: int) -> Cell:
        rng = np.random.default_rng(index)
        one = np.ones((1, 1))
        return Cell(f"c{index}", "g", rng.normal(size=(1, 3)), np.array([0]), np.array([1]), rng.normal() * one,
                    0 * one, one, one)  # fmt: skip

    cells = [cell(index) for index in range(12)]
    copies = [replace(each, steps=each.steps + 1e-3) for each in cells]
    strangers = [replace(copy, cell_id=f"{copy.cell_id} again") for copy in copies]
    one, two = (
        np.std([Gaussian().fit([*cells, *taught], 0).predict(cell(index))[0, 0] for index in range(50, 80)])
        for taught in (copies, strangers)
    )
    assert one < 0.7 * two
