"""Transactions of many partitions share a small part of a core, in turn; those of few come as often as is asked."""

from __future__ import annotations

import heapq
from itertools import pairwise

import pytest

from stream.pacing import COST_S, MARGIN, SHARE, Pacing

FLOOR_S = 0.2


def begun(pacing: Pacing, lanes: int, cost_s: float, until_s: float) -> dict[int, list[float]]:
    """When the transactions of partitions begin that always have results: they ask a floor after their last began."""
    times: dict[int, list[float]] = {lane: [] for lane in range(lanes)}
    asking = [(0.0, lane) for lane in range(lanes)]
    while asking[0][0] < until_s:
        now_s, lane = heapq.heappop(asking)
        turn_s = pacing.turn_s(now_s)
        pacing.took(cost_s)
        times[lane].append(turn_s)
        heapq.heappush(asking, (turn_s + FLOOR_S, lane))
    return times


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_few_partitions_commit_at_the_interval_that_is_asked_for(lanes: int) -> None:
    times = begun(Pacing(FLOOR_S), lanes, 0.0015, 60)
    gaps = [after - before for each in times.values() for before, after in pairwise(each[2:])]
    assert max(gaps) == pytest.approx(FLOOR_S, abs=0.02)


@pytest.mark.parametrize(("lanes", "cost_s"), [(64, 0.001), (128, 0.0005), (500, 0.001)])
def test_many_partitions_take_their_share_and_no_more_in_even_turns(lanes: int, cost_s: float) -> None:
    times = begun(Pacing(FLOOR_S), lanes, cost_s, 300)
    settled = sorted(time_s for each in times.values() for time_s in each if time_s > 20)
    assert len(settled) * cost_s * MARGIN / (settled[-1] - settled[0]) == pytest.approx(SHARE, rel=0.02)
    assert max(after - before for before, after in pairwise(settled)) <= 1.01 * cost_s * MARGIN / SHARE
    counts = [len(each) for each in times.values()]
    assert max(counts) - min(counts) <= 1


def test_turn_comes_at_once_after_silence() -> None:
    pacing = Pacing(FLOOR_S)
    begun(pacing, 64, 0.0015, 10)
    assert pacing.turn_s(1000.0) == 1000.0
    assert pacing.interval_s(1000.0) == FLOOR_S


def test_interval_is_what_the_queue_of_turns_makes_of_it() -> None:
    pacing = Pacing(FLOOR_S)
    for _ in range(64):
        pacing.turn_s(0.0)
    assert pacing.interval_s(0.0) == pytest.approx(64 * COST_S / SHARE)
    assert pacing.interval_s(0.5) == pytest.approx(64 * COST_S / SHARE - 0.5)
    assert pacing.interval_s(64 * COST_S / SHARE - FLOOR_S / 2) == FLOOR_S


def test_what_runs_beside_transactions_does_not_count_as_theirs() -> None:
    pacing = Pacing(FLOOR_S)
    for turn in range(200):
        pacing.took(0.0006 if turn == 7 else 0.05)
    assert pacing.cost_s == pytest.approx(MARGIN * 0.0006)


def test_busy_thread_or_slow_broker_never_stops_the_turns() -> None:
    pacing = Pacing(FLOOR_S)
    times = begun(pacing, 64, 0.3, 60)
    assert pacing.cost_s == COST_S
    gaps = [after - before for each in times.values() for before, after in pairwise(each)]
    assert max(gaps) <= 64 * COST_S / SHARE + FLOOR_S
