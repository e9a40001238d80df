"""Which prefix of each partition may be committed: everything before it is published and acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from stream.seams import Partition


class Ticket:
    """A polled batch on its way: it is done when its records are read and every result of them is acknowledged."""

    __slots__ = ("next_offset", "pending")

    def __init__(self, next_offset: int) -> None:
        self.next_offset = next_offset
        self.pending = 1

    def add(self, results: int) -> None:
        """``results`` more acknowledgements to wait for."""
        self.pending += results

    def done(self, results: int = 1) -> None:
        """``results`` acknowledgements arrived, or, once a ticket, its records are read."""
        self.pending -= results
        assert self.pending >= 0, "more acknowledgements than results"


class Offsets:
    """The tickets of all partitions, in the order in which their records were read."""

    def __init__(self) -> None:
        self._tickets: dict[Partition, deque[Ticket]] = {}

    def begin(self, partition: Partition, next_offset: int) -> Ticket:
        """A ticket for records that end before ``next_offset``."""
        ticket = Ticket(next_offset)
        self._tickets.setdefault(partition, deque()).append(ticket)
        return ticket

    def take(self) -> dict[Partition, int]:
        """The next offset to read of every partition that moved on since the last call."""
        moved: dict[Partition, int] = {}
        for partition, tickets in self._tickets.items():
            while tickets and not tickets[0].pending:
                moved[partition] = tickets.popleft().next_offset
        return moved

    def busy(self, partitions: Iterable[Partition] | None = None) -> bool:
        """Whether results of any of the partitions (of all, if none is named) are still on their way."""
        wanted = self._tickets if partitions is None else partitions
        return any(ticket.pending for partition in wanted for ticket in self._tickets.get(partition, ()))

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drops the tickets of partitions that are no longer held."""
        for partition in partitions:
            self._tickets.pop(partition, None)
