"""When a consumer counts as halted: it could go on, the broker has more for it, and it does not move."""

from __future__ import annotations

from stream.kafka.watchdog import GROUP, Look, Progress, halted
from stream.seams import Partition

ONE, TWO = Partition("t", 1), Partition("t", 2)


def look(drained: int, positions: dict[Partition, int] | None, ends: dict[Partition, int] | None = None) -> Look:
    return Look(Progress(drained, positions), ends or {})


def test_partition_that_stands_still_before_records_is_halted() -> None:
    before = look(1, {ONE: 5, TWO: 7}, {ONE: 9, TWO: 9})
    assert halted(before, look(2, {ONE: 5, TWO: 8})) == {ONE}


def test_partition_at_the_end_that_was_seen_is_not_halted() -> None:
    assert halted(look(1, {ONE: 5}, {ONE: 5}), look(2, {ONE: 5}, {ONE: 9})) == set()


def test_consumer_that_leaves_fetched_records_behind_is_held_back_and_not_halted() -> None:
    assert halted(look(1, {ONE: 5}, {ONE: 9}), look(1, {ONE: 5}, {ONE: 9})) == set()


def test_partition_that_was_opened_meanwhile_is_not_halted() -> None:
    assert halted(look(1, {}, {}), look(2, {ONE: 0}, {ONE: 9})) == set()


def test_member_that_does_not_come_back_to_its_group_is_halted() -> None:
    assert halted(look(1, None), look(2, None)) == {GROUP}
    assert halted(look(1, None), look(2, {ONE: 0}, {ONE: 9})) == set()
    assert halted(look(1, {ONE: 0}, {ONE: 9}), look(2, None)) == set()
