"""Which shapes hold n windows."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from model.buckets import Buckets

SIZES = (1, 8, 16, 32, 64)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 33, 63, 64])
def test_unmeasured_shapes_hold_windows_in_one_run(n: int) -> None:
    (chosen,) = Buckets(SIZES).chunks(n)
    assert chosen == min(size for size in SIZES if size >= n)


def test_no_windows_need_no_run() -> None:
    assert Buckets(SIZES).chunks(0) == []
    assert Buckets(SIZES).padded(0) == 0


def test_more_than_the_largest_shape_takes_it_several_times() -> None:
    assert Buckets(SIZES).chunks(130) == [64, 64, 8]
    assert Buckets(SIZES).padded(130) == 136


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.4], [64]),  # a GPU: a run costs, a window does not
        ([1.0, 4.5, 8.4, 16.2, 32.0], [32, 1]),  # a CPU: a window costs
    ],
)
def test_measured_costs_decide_between_padding_and_another_run(seconds: list[float], expected: list[int]) -> None:
    assert Buckets(SIZES, seconds).chunks(33) == expected


def test_choice_is_the_cheapest_there_is() -> None:
    sizes, seconds = (1, 4, 6), (1.0, 2.5, 3.1)
    cost = dict(zip(sizes, seconds, strict=True))
    buckets = Buckets(sizes, seconds)
    for n in range(1, 7):
        every = [chosen for runs in range(1, n + 1) for chosen in combinations_with_replacement(sizes, runs)]
        cheapest = min(sum(cost[size] for size in chosen) for chosen in every if sum(chosen) >= n)
        assert sum(cost[size] for size in buckets.chunks(n)) == pytest.approx(cheapest)
        assert buckets.padded(n) >= n


def test_a_shape_that_serves_windows_slower_is_passed_over_however_many_there_are() -> None:
    assert Buckets((1, 16, 64), [0.5, 2.0, 12.0]).chunks(130) == [16] * 8 + [1] * 2
