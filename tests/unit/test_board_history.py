from __future__ import annotations

import math
from itertools import pairwise

import pytest

from stream.board.history import History


def line(history: History, points: int) -> None:
    for x in range(points):
        soh = 1.0 - 0.001 * x
        history.add((x, soh - 0.01, soh, soh + 0.01, math.nan))


@pytest.mark.parametrize("capacity", [16, 17, 96])
@pytest.mark.parametrize("points", [1, 15, 16, 17, 31, 32, 33, 500, 1234])
def test_thinning_keeps_the_first_and_the_newest_point_in_bounded_memory(capacity: int, points: int) -> None:
    history = History(capacity)
    line(history, points)
    x, _, p50, _, _ = history.columns()
    assert x[0] == 0
    assert x[-1] == points - 1
    assert len(x) < capacity
    assert len(x) > min(points, capacity // 2) - 1
    assert x == sorted(set(x))
    assert p50 == pytest.approx([1.0 - 0.001 * at for at in x], abs=1e-6)


def test_kept_points_are_evenly_spread_but_for_the_newest() -> None:
    history = History(32)
    line(history, 1000)
    x = history.columns()[0]
    gaps = {b - a for a, b in pairwise(x[:-1])}
    assert len(gaps) == 1
    assert x[-1] - x[-2] <= gaps.pop()


def test_trend_of_a_straight_fade_is_its_slope_also_after_thinning() -> None:
    history = History(32)
    line(history, 7)
    assert math.isnan(history.trend_per_100())
    line(history := History(32), 8)
    assert history.trend_per_100() == pytest.approx(-0.1, rel=1e-4)
    line(history := History(32), 700)
    assert history.trend_per_100() == pytest.approx(-0.1, rel=1e-4)


def test_trend_follows_the_newest_points() -> None:
    history = History(96)
    for x in range(60):
        soh = 1.0 if x < 40 else 1.0 - 0.01 * (x - 39)
        history.add((x, soh, soh, soh, math.nan))
    assert history.trend_per_100() == pytest.approx(-1.0, rel=1e-3)
