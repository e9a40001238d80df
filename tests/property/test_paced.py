"""Copies of cells at other paces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.dataset import WindowSet, windows_of
from model.paced import with_copies
from model.schema import CycleSteps, Target
from tests.fading import fading_cell

STEPS = CycleSteps(window=8)
TARGETS = (Target(kind="soh"), Target(kind="capacity", horizon_cycles=6), Target(kind="rul"))
COUNTED = [channel.name in ("equivalent_full_cycles", "age") for channel in STEPS.channels]
PLAIN = [not counted for counted in COUNTED]
CELLS = [fading_cell("A", fade=0.006, cycles=45), fading_cell("B", fade=0.009, cycles=20)]
WINDOWS = windows_of(CELLS, STEPS, TARGETS, 0.8)


def _copied(*paces: float, cells: tuple[str, ...] = ("A",)) -> tuple[WindowSet, np.ndarray]:
    found = with_copies(WINDOWS, cells, paces, STEPS, TARGETS)
    return found, np.arange(len(WINDOWS), len(found))


@given(st.lists(st.floats(0.1, 10), max_size=3))
def test_what_is_copied_stays_as_it_is_and_comes_first(paces: list[float]) -> None:
    found, _ = _copied(*paces, cells=("A", "B"))
    first = np.arange(len(WINDOWS))
    assert found.cells == WINDOWS.cells
    np.testing.assert_array_equal(found.windows(first), WINDOWS.windows(first))
    np.testing.assert_array_equal(found.labels[first], WINDOWS.labels)


def test_a_copy_at_the_pace_of_its_cell_is_its_cell() -> None:
    found, copy = _copied(1.0)
    own = WINDOWS.of_cells(["A"])
    np.testing.assert_array_equal(found.windows(copy), WINDOWS.windows(own))
    np.testing.assert_array_equal(found.labels[copy, :2], WINDOWS.labels[own, :2])
    np.testing.assert_array_equal(found.length[copy], WINDOWS.length[own])


@given(st.floats(0.1, 10))
def test_a_copy_shows_the_same_health_sooner_or_later(pace: float) -> None:
    found, copy = _copied(pace)
    own = WINDOWS.of_cells(["A"])
    of = own[np.searchsorted(WINDOWS.cycle[own], found.cycle[copy])]
    newest, shown = found.windows(copy, 1)[:, 0], WINDOWS.windows(of, 1)[:, 0]
    np.testing.assert_array_equal(newest[:, PLAIN], shown[:, PLAIN])
    np.testing.assert_allclose(newest[:, COUNTED], shown[:, COUNTED] / pace, rtol=1e-6)
    np.testing.assert_array_equal(found.labels[copy, 0], WINDOWS.labels[of, 0])
    assert np.isnan(found.labels[copy, 2]).all()  # how long it lives is made up
    assert (found.cell[copy] == 0).all()
    # Its own cycles are so many apart that they pass ``pace`` of the cell's each.
    assert np.abs(found.cycle[copy] - found.cycle[copy][:1] - pace * np.arange(len(copy))).max(initial=0) <= 1


def test_a_capacity_ahead_is_that_of_as_many_cycles_of_the_copy() -> None:
    found, copy = _copied(2.0)
    soh = dict(zip(WINDOWS.cells[0].cycle.tolist(), WINDOWS.cells[0].soh.tolist(), strict=True))
    assert len(copy) > 15
    for cycle, ahead in zip(found.cycle[copy].tolist(), found.labels[copy, 1].tolist(), strict=True):
        assert ahead == pytest.approx(soh.get(cycle + 12, np.nan), nan_ok=True)


@given(st.floats(0.1, 10), st.floats(0.1, 10))
def test_no_window_of_a_copy_shows_another_life(first: float, second: float) -> None:
    found, copy = _copied(first, second, cells=("A", "B"))
    for row in copy:
        window = found.windows(np.array([row]))[0, -found.length[row] :]
        assert (np.diff(window[:, COUNTED], axis=0) >= 0).all()
        assert len(set(found.step_cell[found.end[row] - found.length[row] : found.end[row]].tolist())) == 1
