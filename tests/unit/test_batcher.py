"""When a batch of windows goes to the model."""

from __future__ import annotations

import numpy as np

from model.windows import WindowBatch
from stream.batch import Batch, Segment
from stream.batcher import Batcher, Why
from stream.offsets import Ticket
from stream.seams import Partition


def batcher(batches: int = 2, capacity: int = 4) -> Batcher:
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
    assert some.due(1.019) is None
    assert some.due(1.020) is Why.DEADLINE


def test_full_batch_is_due_at_once_and_has_no_room():
    some = batcher(capacity=4)
    add(some, 1, 0.0)
    some.take()
    add(some, 3, 0.0)
    assert some.room() is None
    assert some.due(0.0) is Why.FULL


def test_there_is_no_room_while_all_batches_are_away():
    some = batcher(batches=2)
    away = []
    for _ in range(2):
        add(some, 1, 0.0)
        away.append(some.take())
    assert some.room() is None
    some.predicted()
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
