from __future__ import annotations

import numpy as np

from bench.accuracy.cell import Cell
from bench.accuracy.plots import errors
from bench.accuracy.protocol import Goal, Said


def test_errors_drawn_are_in_the_unit_of_the_goal() -> None:
    truth = np.array([[0.8], [0.5]])
    cell = Cell("a", "g", truth, np.arange(2), np.arange(1, 3), truth, 0 * truth, truth, truth)
    said = Said(cell, truth + np.array([[0.04], [-0.1]]), truth, truth, {}, 9)
    np.testing.assert_allclose(errors(Goal("soh", "mape_pct", "%"), said), [5, 20])
    np.testing.assert_allclose(errors(Goal("soh", "mae", "of 2 Ah"), said), [0.04, 0.1])
