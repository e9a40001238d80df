"""The two seams of the pipeline: where records come from and where results go. Kafka is one side, memory the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol


class Partition(NamedTuple):
    """An input partition."""

    topic: str
    number: int


class Received(Protocol):
    """One input record as it came: nothing is decoded yet. A Kafka client's own records are such, and no copies."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """When it was made or arrived, as the topic has it: ms since 1970, UTC."""

    @property
    def key(self) -> bytes | None:
        """What chose its partition."""

    @property
    def value(self) -> bytes | None:
        """Its content."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Such as ``content-type``."""


class Record(NamedTuple):
    """A record that was put together here; see `Received`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Polled(NamedTuple):
    """Consecutive records of one partition.

    ``replayed`` records lie before the committed offset: their results are already published, and they come again only
    to rebuild state.
    """

    partition: Partition
    records: Sequence[Received]
    replayed: bool = False


class Message(NamedTuple):
    """One output record. It goes to ``partition``, which must be there; without one to the number of the partition
    whose input it came ``of``, counted round where its topic has fewer; without that its key decides.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None
    of: int | None = None


class Holder(Protocol):
    """Who keeps the state of the partitions that a source reads; a source tells it when partitions come and go."""

    def held(self, partition: Partition) -> int | None:
        """The next offset that the partition's state waits for; none where there is no state."""

    async def free(self, partitions: Collection[Partition], within_s: float | None = None) -> Collection[Partition]:
        """Waits until one of the partitions can be handed more records, or until the time is over; those that can."""

    async def acquire(self, partition: Partition) -> int | None:
        """From now on only this process publishes for the partition.

        Returns the offset before which all is published, where that is kept beside the source's own committed offset.
        """

    async def restore(self, partition: Partition, committed: int) -> int | None:
        """Rebuilds the partition's state from what was kept of it, at or before the committed offset; see `held`."""

    async def release(self, partitions: Collection[Partition]) -> None:
        """Publishes and commits what is on its way; the state stays, in case the partition comes back."""

    def discard(self, partitions: Collection[Partition]) -> None:
        """Drops the partitions' state."""


class Changelog(Protocol):
    """Where the pages of cell state are kept: a compacted topic with as many partitions as the input."""

    topic: str

    def read(self, partition: Partition) -> AsyncIterator[Sequence[tuple[bytes, bytes | None]]]:
        """Yields keys and values of everything that is kept for an input partition, in the order of writing."""

    async def published(self, partition: Partition) -> int | None:
        """The input offset before which all is published, as the newest transaction says; none if there was none."""


class Source(Protocol):
    """Where telemetry comes from."""

    def poll(self, holder: Holder) -> AsyncIterator[Polled | None]:
        """Yields polled records of the partitions held; ``None`` where a poll found nothing."""

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Remembers the next offset to read of each partition; everything before it is published."""


class Sink(Protocol):
    """Where results go."""

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        """Hands messages over in order; the returned awaitable completes when all are acknowledged."""
