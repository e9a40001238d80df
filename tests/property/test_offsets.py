"""What may be committed: never past a result that is not acknowledged, and in the end everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.offsets import Offsets
from stream.seams import Partition

PARTITIONS = [Partition("t", 0), Partition("t", 1)]


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
    committed.update(offsets.take())
    for ticket, left in waiting:
        ticket.done()
        left[0] -= 1
        committed.update(offsets.take())
        for partition in PARTITIONS:
            unfinished = [end for end, results in expected[partition] if results[0]]
            limit = min(unfinished, default=ends[partition] + 10) - 10
            assert committed[partition] == limit
    assert committed == ends
    assert not offsets.busy()


def test_reading_holds_its_own_offset_back_until_it_is_done():
    offsets = Offsets()
    ticket = offsets.begin(PARTITIONS[0], 10)
    assert offsets.take() == {}
    assert offsets.busy()
    ticket.done()
    assert offsets.take() == {PARTITIONS[0]: 10}
    assert offsets.take() == {}


def test_forgotten_partition_commits_nothing():
    offsets = Offsets()
    ticket = offsets.begin(PARTITIONS[0], 10)
    offsets.forget(PARTITIONS[:1])
    ticket.done()
    assert offsets.take() == {}
    assert not offsets.busy(PARTITIONS)
