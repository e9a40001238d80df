"""What may be committed: never past a result that is not acknowledged, and in the end everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.offsets import Offsets
from stream.seams import Message, Partition

MESSAGE = Message("t", None, b"")
PARTITIONS = [Partition("t", 0), Partition("t", 1)]


def taken(offsets: Offsets) -> dict[Partition, int]:
    """How far each partition moved; every ticket brings as many messages as it made windows due."""
    moved = offsets.take()
    for tickets in moved.values():
        assert all(len(ticket.messages) == ticket.predictions for ticket in tickets)
        assert [ticket.next_offset for ticket in tickets] == sorted(ticket.next_offset for ticket in tickets)
    return {partition: tickets[-1].next_offset for partition, tickets in moved.items()}


@given(
    batches=st.lists(st.tuples(st.sampled_from(PARTITIONS), st.integers(0, 3)), max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_committed_offset_never_passes_an_unacknowledged_result(batches, order):
    offsets = Offsets()
    ends = dict.fromkeys(PARTITIONS, 0)
    waiting = []
    expected: dict[Partition, list[tuple[int, list[int]]]] = {partition: [] for partition in PARTITIONS}
    for partition, results in batches:
        ends[partition] += 10
        ticket = offsets.begin(partition, ends[partition])
        ticket.add(results)
        left = [results]
        expected[partition].append((ends[partition], left))
        ticket.done()
        waiting += [(ticket, left)] * results
    order.shuffle(waiting)
    committed = dict.fromkeys(PARTITIONS, 0)
    committed.update(taken(offsets))
    for ticket, left in waiting:
        ticket.done([MESSAGE])
        left[0] -= 1
        committed.update(taken(offsets))
        for partition in PARTITIONS:
            unfinished = [end for end, results in expected[partition] if results[0]]
            limit = min(unfinished, default=ends[partition] + 10) - 10
            assert committed[partition] == limit
    assert committed == ends
    assert not offsets.busy()


def test_reading_holds_its_own_offset_back_until_it_is_done():
    offsets = Offsets()
    ticket = offsets.begin(PARTITIONS[0], 10)
    assert taken(offsets) == {}
    assert offsets.busy()
    ticket.done()
    assert taken(offsets) == {PARTITIONS[0]: 10}
    assert taken(offsets) == {}


def test_forgotten_partition_commits_nothing():
    offsets = Offsets()
    ticket = offsets.begin(PARTITIONS[0], 10)
    offsets.forget(PARTITIONS[:1])
    ticket.done()
    assert taken(offsets) == {}
    assert not offsets.busy(PARTITIONS)
