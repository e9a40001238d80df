"""What of each partition is worked off: the prefix whose results are all there, and may go out together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from stream.answers import Answers
from stream.seams import Message, Partition
from stream.truths import Truth


class Ticket:
    """A polled batch on its way: done when its records are read and every window that they made due is predicted.

    ``messages`` are its results; they go out together with ``next_offset``, the input that they work off. Its
    predictions are ``told`` in the order in which they became due, and join the results when all are there; each of its
    ``truths`` comes after so many of them. ``gone`` are the packs that count as gone by its end.
    """

    __slots__ = ("gone", "messages", "next_offset", "pending", "predictions", "received_ms", "told", "truths")

    def __init__(self, next_offset: int, received_ms: int = 0) -> None:
        self.next_offset = next_offset
        self.received_ms = received_ms
        self.messages: list[Message] = []
        self.told: list[Answers] = []
        self.truths: list[tuple[int, Truth]] = []
        self.gone: list[str] = []
        self.pending = 1
        self.predictions = 0

    def add(self, windows: int, truths: Sequence[tuple[int, Truth]] = ()) -> None:
        """``windows`` more to wait for; each of the truths comes after so many of these."""
        self.truths += ((self.predictions + after, truth) for after, truth in truths)
        self.pending += windows
        self.predictions += windows

    def answered(self, answers: Answers) -> None:
        """What became of the next of its windows."""
        self.told.append(answers)
        self.done(results=len(answers.messages))

    def done(self, messages: Sequence[Message] = (), results: int = 1) -> None:
        """``results`` windows are predicted, or, once a ticket, its records are read; this is what came of it."""
        self.messages += messages
        self.pending -= results
        assert self.pending >= 0, "more results than windows"


class Offsets:
    """The tickets of all partitions, in the order in which their records were read."""

    def __init__(self) -> None:
        self._tickets: dict[Partition, deque[Ticket]] = {}

    def begin(self, partition: Partition, next_offset: int, received_ms: int = 0) -> Ticket:
        """A ticket for records that end before ``next_offset``, the last of which arrived at ``received_ms``."""
        ticket = Ticket(next_offset, received_ms)
        self._tickets.setdefault(partition, deque()).append(ticket)
        return ticket

    def take(self) -> dict[Partition, list[Ticket]]:
        """The tickets that are done, of every partition that moved on, up to the first that is not."""
        moved: dict[Partition, list[Ticket]] = {}
        for partition, tickets in self._tickets.items():
            while tickets and not tickets[0].pending:
                moved.setdefault(partition, []).append(tickets.popleft())
        return moved

    def busy(self, partitions: Iterable[Partition] | None = None) -> bool:
        """Whether results of any of the partitions (of all, if none is named) are still on their way."""
        wanted = self._tickets if partitions is None else partitions
        return any(ticket.pending for partition in wanted for ticket in self._tickets.get(partition, ()))

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drops the tickets of partitions that are no longer held."""
        for partition in partitions:
            self._tickets.pop(partition, None)
