"""Exactly once on brokers with transactions: results and the offsets that they work off are one transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import (
    KafkaError,
    ProducerFenced,
    TransactionalIdAuthorizationFailed,
    UnknownError,
    UnsupportedVersionError,
)

from stream import faults
from stream.clock import Clock
from stream.delivery import count_published
from stream.errors import Fatal
from stream.kafka.client import connection, quiet_sender, started, stopped
from stream.kafka.handover import hand_over
from stream.kafka.sink import without_value
from stream.kafka.topics import DEAD_LETTER_BYTES, state_topic
from stream.offsets import Ticket
from stream.pacing import Pacing
from stream.pages import PUBLISHED_KEY, Published, encode
from stream.seams import Message, Partition
from stream.settings import Settings
from stream.telemetry import Telemetry

log = structlog.get_logger()

OPEN_S = 60.0  # the client's own calls wait without end
TRANSACTION_S = 30.0
EMPTY_INTERVALS = 5  # offsets alone may wait longer than results
MAX_WAITING = 20_000  # messages of a partition; then the pipeline waits
FENCED_S = 30.0
OVERHEAD_BYTES = 1024  # of a batch, and of each header


def _producer(settings: Settings, transactional_id: str) -> Any:
    return AIOKafkaProducer(
        **connection(settings.kafka),
        transactional_id=transactional_id,
        transaction_timeout_ms=60_000,
        linger_ms=0,
        max_batch_size=256 * 1024,
        max_request_size=DEAD_LETTER_BYTES,
    )


async def has_transactions(settings: Settings) -> bool:
    """Whether the broker knows transactions; not every Kafka-compatible one does."""
    try:
        with quiet_sender():
            probe = await started(lambda: _producer(settings, f"{settings.app}-probe"), settings.kafka.bootstrap)
    except (UnknownError, UnsupportedVersionError):
        return False
    except TransactionalIdAuthorizationFailed:
        raise Fatal(
            f"the broker does not let this user write transactions: grant WRITE and DESCRIBE on the transactional ids "
            f"that begin with {settings.app}-"
        ) from None
    await stopped(probe)
    return True


class ExactlyOnce:
    """One transactional producer for each partition held, named after the partition.

    Starting it fences whoever held the partition before and ends what they left open, so that the offset read
    afterwards is final: results, offset and, since it is a function of the input up to there, state cannot disagree.
    The offset is kept twice, in the group and, as a message like the results, in the topic of the state: a coordinator
    of the group that was elected a moment ago may still answer with an older one.
    """

    def __init__(self, settings: Settings, telemetry: Telemetry, clock: Clock, *, letter_bytes: int) -> None:
        self._settings = settings
        self._letter_bytes = letter_bytes
        self._telemetry = telemetry
        self._clock = clock
        self._pacing = Pacing(settings.commit.interval_ms / 1000)
        self._lanes: dict[Partition, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] | None = None

    async def open(self, partition: Partition) -> None:
        """Starts the partition's producer, which fences the former one."""
        await self.close([partition])
        settings = self._settings
        name = f"{settings.app}-{partition.topic}-{partition.number}"
        lane = _Lane(partition, name, settings, self._letter_bytes, self._pacing, self._telemetry, self._clock)
        await lane.connect()
        self._lanes[partition] = lane
        lane.task = asyncio.create_task(lane.run(), name=name)
        lane.task.add_done_callback(self._ended)

    async def close(self, partitions: Collection[Partition]) -> None:
        """Ends the partitions' producers; a transaction that is still open is aborted by the next one of its name."""
        lanes = [lane for partition in partitions if (lane := self._lanes.pop(partition, None)) is not None]
        await asyncio.gather(*(lane.stop() for lane in lanes))

    async def publish(self, partition: Partition, tickets: Sequence[Ticket]) -> None:
        """Adds tickets to the partition's next transaction; waits while too much waits already."""
        lane = self._lanes.get(partition)
        if lane is not None:
            await lane.add(tickets)

    async def flush(self, partitions: Collection[Partition] | None = None) -> None:
        """Waits until everything taken over is committed."""
        wanted = list(self._lanes) if partitions is None else partitions
        await asyncio.gather(*(self._lanes[partition].flush() for partition in wanted if partition in self._lanes))

    async def run(self) -> None:
        """Waits for what makes going on impossible, and raises it; when cancelled, ends all producers."""
        self._failed = asyncio.get_running_loop().create_future()
        try:
            await self._failed
        finally:
            await self.close(list(self._lanes))

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)


class _Lane:
    """One partition's transactions, one after the other."""

    def __init__(
        self,
        partition: Partition,
        transactional_id: str,
        settings: Settings,
        letter_bytes: int,
        pacing: Pacing,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self.partition = partition
        self.task: asyncio.Task[None] | None = None
        self._producer: Any = None
        self._transactional_id = transactional_id
        self._settings = settings
        self._group = settings.kafka.group
        self._state_topic = state_topic(settings)
        self._letter_bytes = letter_bytes
        self._pacing = pacing
        self._telemetry = telemetry
        self._clock = clock
        self._waiting: list[Ticket] = []
        self._messages = 0
        self._changed = asyncio.Condition()
        self._urgent = False
        self._began_s = float("-inf")
        self._busy = False
        self._fenced = False

    async def connect(self) -> None:
        """Starts the producer: what any producer of this name left open is aborted by it."""
        settings = self._settings
        make = partial(_producer, settings, self._transactional_id)
        try:
            async with asyncio.timeout(OPEN_S):
                self._producer = await started(make, settings.kafka.bootstrap)
        except TimeoutError:
            raise Fatal(f"no producer for {self.partition} could be started within {OPEN_S:.0f} s") from None
        # All that it writes to: of a topic that is not named the client forgets the leader once others are.
        topics = settings.topics
        written = (topics.predictions, topics.packs, topics.alerts, topics.dead_letters, self._state_topic)
        self._producer.client.set_topics(written)

    async def add(self, tickets: Sequence[Ticket]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._messages < MAX_WAITING or self._fenced)
            before = bool(self._waiting), bool(self._messages)
            self._waiting += tickets
            self._messages += sum(len(ticket.messages) for ticket in tickets)
            if before != (True, bool(self._messages)) or self._messages >= MAX_WAITING:  # else it waits for the time
                self._changed.notify_all()

    async def flush(self) -> None:
        async with self._changed:
            self._urgent = True
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._fenced or not (self._waiting or self._busy))
            self._urgent = False

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        await stopped(self._producer)

    async def run(self) -> None:
        """A transaction each turn while there is something to commit, until another member takes the partition."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting)
                await self._rest()
                self._began_s = self._clock.monotonic_s()
                tickets, self._waiting, self._messages, self._busy = self._waiting, [], 0, True
            cpu_s = time.thread_time()
            try:
                await self._transact(tickets)
            except ProducerFenced:
                log.warning("partition fenced: another member holds it now", partition=self.partition.number)
                self._telemetry.transactions.labels("fenced").inc()
                self._fenced = True
            finally:
                async with self._changed:
                    self._busy = False
                    self._changed.notify_all()
            if self._fenced:
                # The group hears of its new owner in a moment, and this lane is closed. If not, nobody would ever know.
                await asyncio.sleep(FENCED_S)
                raise Fatal(
                    f"{self.partition.topic}-{self.partition.number} was taken over, but not by a member of group "
                    f"{self._group!r}: give each deployment an `app` and a kafka.group of its own"
                )
            self._pacing.took(time.thread_time() - cpu_s)
            self._telemetry.transactions.labels("committed").inc()
            count_published(tickets, self._telemetry, self._clock)

    async def _rest(self) -> None:
        """Lets more tickets gather until it is this partition's turn, unless someone waits for these."""
        pacing, now_s = self._pacing, self._clock.monotonic_s
        await self._until(self._began_s + EMPTY_INTERVALS * pacing.interval_s(now_s()), or_messages=True)
        await self._until(self._began_s + pacing.floor_s)
        await self._until(pacing.turn_s(now_s()))
        self._telemetry.commit_interval_seconds.set(pacing.interval_s(now_s()))

    async def _until(self, time_s: float, *, or_messages: bool = False) -> None:
        """Waits with the lock held, which lets it go meanwhile."""
        rest_s = time_s - self._clock.monotonic_s()
        if rest_s <= 0:
            return
        try:
            async with asyncio.timeout(rest_s):
                await self._changed.wait_for(
                    lambda: self._urgent or self._messages >= MAX_WAITING or (or_messages and self._messages)
                )
        except TimeoutError:
            pass

    async def _transact(self, tickets: Sequence[Ticket]) -> None:
        next_offset = tickets[-1].next_offset
        messages = [self._fitting(message) for ticket in tickets for message in ticket.messages]
        messages.append(
            Message(self._state_topic, PUBLISHED_KEY, encode(Published(next_offset)), partition=self.partition.number)
        )
        try:
            async with asyncio.timeout(TRANSACTION_S):
                await self._attempt(messages, next_offset)
        except TimeoutError:
            raise Fatal(f"no transaction of {self.partition} was possible within {TRANSACTION_S:.0f} s") from None
        except ProducerFenced:
            raise
        except KafkaError as error:
            raise Fatal(f"the broker did not take a transaction of {self.partition}: {error!r}") from error

    def _fitting(self, message: Message) -> Message:
        """A dead letter may go without its bytes; of anything else nothing may be left out.

        This is known before, and not tried: a transaction that fails could only be repeated by a new producer, and who
        starts one may by then be a former owner, of whose results another has published some.
        """
        if message.topic != self._settings.topics.dead_letters or message.value is None:
            return message
        around = len(message.key or b"") + sum(len(name) + len(value) for name, value in message.headers)
        fits = len(message.value) + around + OVERHEAD_BYTES <= self._letter_bytes
        return message if fits else without_value(message)

    async def _attempt(self, messages: Sequence[Message], next_offset: int) -> None:
        producer = self._producer
        await producer.begin_transaction()
        faults.reach("begun")
        sent = [each.acknowledged for each in await hand_over(producer, messages)]
        for result in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        faults.reach("sent")
        offsets = {TopicPartition(*self.partition): OffsetAndMetadata(next_offset, "")}
        await producer.send_offsets_to_transaction(offsets, self._group)
        faults.reach("offsets-sent")
        await producer.commit_transaction()
        faults.reach("committed")
