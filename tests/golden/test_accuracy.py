"""Fixed answers on tiny data, and the benchmarks' own test cells in the recorded sets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.accuracy.capacity_ahead import MIT_300
from bench.accuracy.cell import Cell
from bench.accuracy.early_life import SEVERSON
from bench.accuracy.fade import Fade
from bench.accuracy.health_now import XJTU
from bench.accuracy.nasa import LEFT
from bench.accuracy.percycle import lives
from bench.accuracy.protocol import Goal, Said
from bench.accuracy.results import rows
from bench.accuracy.ridge import Ridge
from bench.accuracy.same_cells import severson_names
from bench.accuracy.scores import score, score_baseline


def cell(name: str, truth: list[float], group: str = "g") -> Cell:
    column = np.array(truth)[:, None]
    count = np.arange(len(truth))
    zeros = np.zeros_like(column)
    return Cell(name, group, zeros, count, count + 1, column, zeros, zeros, zeros)


def said(name: str, truth: list[float], point: list[float], half: float, group: str = "g") -> Said:
    middle = np.array(point)[:, None]
    copied = (np.full_like(middle, 1.0), np.full_like(middle, 0.5))
    unknown = (np.full_like(middle, np.nan), np.full_like(middle, np.nan))
    return Said(
        cell(name, truth, group),
        middle,
        middle - half,
        middle + half,
        {"copy": copied, "linear": unknown, "mean": unknown},
        10,
    )


TINY = [
    said("a", [1.0, 0.8, np.nan], [1.1, 0.8, 0.3], half=0.05),
    said("b", [0.5], [0.4], half=0.2, group="h"),
]


@pytest.mark.parametrize(
    ("measure", "error", "of_b"),
    [
        ("mape_pct", (5.0 + 20.0) / 2, 20.0),
        ("mae", (0.05 + 0.1) / 2, 0.1),
        ("re", (0.05 + 0.2) / 2, 0.2),
        ("rmse", (np.sqrt(0.005) + 0.1) / 2, 0.1),
        ("rmse_of_cells", np.sqrt((0.005 + 0.01) / 2), 0.1),
    ],
)
def test_errors_are_averaged_within_a_cell_then_over_cells(measure: str, error: float, of_b: float) -> None:
    found = score(Goal("x", measure, "1"), TINY)  # type: ignore[arg-type]
    assert found.error == pytest.approx(error)
    assert found.by_cell["b"] == pytest.approx(of_b)
    assert found.coverage == pytest.approx((0.5 + 1.0) / 2)
    assert found.width == pytest.approx((0.1 + 0.4) / 2)
    assert found.worst_group == pytest.approx(max(found.by_group.values()))


def test_errors_are_also_given_by_the_place_of_a_row() -> None:
    placed = replace(TINY[0], cell=replace(TINY[0].cell, place=("charge", "rest", "rest")))
    assert score(Goal("x", "mae", "1"), [placed]).by_place == pytest.approx({"charge": 0.1, "rest": 0.0})
    assert score(Goal("x", "mae", "1"), TINY).by_place == {}


def test_a_baseline_without_opinion_has_no_score() -> None:
    goal = Goal("x", "mae", "1")
    assert score_baseline(goal, TINY, "mean") is None
    copied = score_baseline(goal, [TINY[1]], "copy")
    assert copied is not None
    assert copied.error == pytest.approx(0.5)


def test_a_row_is_the_mean_of_its_runs_and_says_whether_the_bar_was_met() -> None:
    other = [said("a", [1.0, 0.8, np.nan], [1.0, 0.8, 0.3], half=0.05), TINY[1]]
    protocol = XJTU.__class__(
        **{name: getattr(XJTU, name) for name in ("track", "data", "cells", "split", "learners")},
        name="tiny",
        goals=(Goal("x", "mae", "1", bar=0.0625), Goal("x", "mae", "1", bar=0.05), Goal("x", "mae", "1")),
    )
    met, missed, open_end = rows(protocol, [TINY, other], 1.0)
    assert met.error == pytest.approx((0.075 + 0.05) / 2)
    assert met.spread == pytest.approx(0.0125)
    assert (met.verdict, missed.verdict, open_end.verdict) == ("met", "missed", "beats baselines")
    assert met.coverage == pytest.approx((0.75 + 1.0) / 2)
    assert met.interval_verdict == "covers, sharper"


def test_ridge_finds_a_plane() -> None:
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(60, 3))
    truth = (2.0 * steps[:, 0] - steps[:, 1] + 0.5)[:, None]
    zeros, at = np.zeros((10, 1)), np.arange(10)
    cells = [
        Cell(f"c{i}", "g", steps[10 * i : 10 * i + 10], at, at, truth[10 * i : 10 * i + 10], zeros, zeros, zeros)
        for i in range(6)
    ]
    model = Ridge().fit(cells[:5], 0)
    np.testing.assert_allclose(model.predict(cells[5]), cells[5].truth, atol=2e-3)


def test_fade_is_carried_over_in_proportion() -> None:
    def life(rate: float) -> Cell:
        column = (2.0 - rate * np.arange(1, 121))[:, None]
        one = np.ones((1, 1))
        return Cell(f"{rate}", "g", column, np.array([16]), np.array([17]), one, one, one, one)

    model = Fade(known=17, eol=1.4).fit([life(0.004), life(0.006), life(0.008)], 0)
    left = float(model.predict(life(0.010))[0, 0])
    assert left == pytest.approx(60 - 17, abs=4)  # 2 - 0.01 * 60 = 1.4


def test_recorded_sets_are_split_as_their_benchmarks_say(recorded_data: Path) -> None:
    xjtu = XJTU.cells(recorded_data)
    (fold,) = XJTU.split(xjtu, 0)
    assert (len(fold.train), len(fold.test)) == (42, 13)
    assert "3C_battery-14" in {xjtu[index].cell_id for index in fold.test}
    lives = SEVERSON.cells(recorded_data)
    (fold,) = SEVERSON.split(lives, 0)
    assert (len(fold.train), len(fold.test)) == (41, 43)
    assert {lives[index].group for index in fold.test} == {"test1"}


def test_cells_of_two_names_have_one_capacity_and_one_life(recorded_data: Path) -> None:
    names = severson_names()
    found = {life.cell_id: life for life in lives(recorded_data, "mit") if life.cell_id in names}
    assert set(found) == set(names)
    other = {cell.cell_id: cell for cell in SEVERSON.cells(recorded_data)}
    first = [(life.soh[1:6].mean(), other[names[name]].steps[0, 7]) for name, life in found.items()]
    assert np.corrcoef(np.transpose(first))[0, 1] > 0.98
    ended = [name for name, life in found.items() if life.soh[-1] * 1.1 < 0.94 and len(life.soh) > 100]
    ranks = [
        np.argsort(np.argsort(values))
        for values in ([len(found[name].soh) for name in ended], [other[names[name]].truth[0, 0] for name in ended])
    ]
    assert len(ended) == 79
    assert np.corrcoef(ranks)[0, 1] > 0.97


def test_the_cells_asked_about_are_those_that_lived_long_enough(recorded_data: Path) -> None:
    cells = MIT_300.cells(recorded_data)
    asked = [each for each in cells if each.exam().rows]
    assert len(asked) == 45
    assert all(each.exam().at.tolist() == [299] for each in asked)
    left = {each.cell_id: each.exam() for each in LEFT.cells(recorded_data)}
    assert {name: float(each.truth[0, 0]) for name, each in left.items() if each.rows} == {
        "B0005": 108.0,
        "B0006": 92.0,
        "B0007": 151.0,
    }
