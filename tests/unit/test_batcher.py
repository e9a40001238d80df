"""When a batch of windows goes to the model."""

from __future__ import annotations

import numpy as np
import pytest

from model.windows import WindowBatch
from stream.batch import Batch, Segment
from stream.batcher import SLACK_S, Batcher, Why
from stream.offsets import Ticket
from stream.seams import Partition


def batcher(batches: int = 2, capacity: int = 5) -> Batcher:
    return Batcher([Batch(WindowBatch.empty(capacity, 3, 2)) for _ in range(batches)], deadline_s=0.02)


def add(to: Batcher, windows: int, now_s: float) -> None:
    batch = to.room()
    assert batch is not None
    start = batch.filled
    owners = [("P1", cell) for cell in range(windows)]
    to.add(Segment(Partition("t", 0), owners, Ticket(0), np.zeros(0, np.int64), start, start + windows), now_s)


def test_nothing_is_due_without_windows():
    assert batcher().due(0.0) is None
    empty = batcher()
    add(empty, 0, 0.0)
    assert empty.due(100.0, draining=True) is None


def test_idle_device_gets_what_there_is():
    some = batcher()
    add(some, 1, 0.0)
    assert some.due(0.0) is Why.IDLE


def test_busy_device_waits_for_the_deadline_of_the_oldest_window():
    some = batcher()
    add(some, 1, 0.0)
    some.take()
    add(some, 1, 1.0)
    add(some, 1, 1.015)
    assert some.due(1.018) is None
    assert some.due(1.020 - SLACK_S) is Why.DEADLINE


def test_what_a_batch_costs_comes_off_its_deadline():
    some = batcher(capacity=64, batches=4)
    for windows in (8, 16):
        add(some, windows, 0.0)
        some.give_back(some.take())
        some.predicted(windows, 0.002 + 0.0005 * windows)
    add(some, 1, 0.0)
    some.take()
    add(some, 4, 1.0)
    assert some.closes_s() == pytest.approx(1.020 - 0.004 - SLACK_S)
    add(some, 8, 1.001)
    assert some.closes_s() == pytest.approx(1.020 - 0.008 - SLACK_S), "a batch that grows has to go sooner"
    assert some.due(1.010) is None
    assert some.due(1.0111) is Why.DEADLINE


def test_deadline_that_not_even_one_window_can_meet_makes_no_small_batches():
    some = batcher()
    add(some, 1, 0.0)
    some.give_back(some.take())
    some.predicted(1, 0.5)
    add(some, 1, 0.0)
    some.take()
    add(some, 1, 0.0)
    assert some.due(100.0) is None


def test_batch_for_which_the_model_was_not_asked_teaches_nothing_of_its_cost():
    some = batcher()
    for windows, seconds in ((1, 0.5), (0, 0.0)):
        add(some, 1, 0.0)
        some.give_back(some.take())
        some.predicted(windows, seconds)
    assert some.cost.seconds(1) == pytest.approx(0.5)
    add(some, 1, 0.0)
    assert some.due(0.0) is Why.IDLE


def test_one_batch_at_most_waits_behind_the_one_that_runs():
    some = batcher(batches=3)
    for _ in range(2):
        add(some, 1, 0.0)
        some.take()
    add(some, 1, 0.0)
    assert some.due(100.0) is None
    some.predicted(1, 0.001)
    assert some.due(100.0) is Why.DEADLINE


def test_full_batch_is_due_at_once_and_has_no_room():
    some = batcher(capacity=5)
    add(some, 1, 0.0)
    some.take()
    add(some, 4, 0.0)
    assert some.room() is None
    assert some.due(0.0) is Why.FULL


def test_there_is_no_room_while_all_batches_are_away():
    some = batcher(batches=2)
    away = []
    for _ in range(2):
        add(some, 1, 0.0)
        away.append(some.take())
    assert some.room() is None
    some.predicted(1, 0.001)
    assert some.room() is None, "a batch is free when its results were taken over, not before"
    some.give_back(away[0])
    room = some.room()
    assert room is away[0]
    assert room.filled == 0
    assert not room.segments


def test_draining_sends_what_there_is():
    some = batcher()
    add(some, 1, 0.0)
    some.take()
    add(some, 1, 0.0)
    assert some.due(0.0) is None
    assert some.due(0.0, draining=True) is Why.DRAIN


@pytest.mark.parametrize(("among", "slots"), [(0, 64), (1, 64), (2, 10 + 32), (4, 10 + 16), (100, 12)])
def test_share_of_a_batch_is_a_part_of_its_size_and_never_less_than_a_sample_may_need(among: int, slots: int):
    batch = Batch(WindowBatch.empty(64, 3, 2), filled=10)
    share = batch.share(among)
    assert share.capacity == slots
    assert all(np.shares_memory(mine, whole) for mine, whole in zip(share, batch.windows, strict=True))
