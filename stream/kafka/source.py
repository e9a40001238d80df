"""Telemetry from Kafka, as a member of a consumer group."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
)

from stream import faults
from stream.clock import Clock
from stream.errors import Fatal
from stream.health import Health
from stream.kafka.client import connection, patiently, started, stopped
from stream.kafka.membership import cannot_go_on, keep_name
from stream.kafka.unwrapped import unwrap
from stream.kafka.watchdog import Progress
from stream.seams import Holder, Partition, Polled, Received
from stream.settings import Settings
from stream.telemetry import Telemetry

log = structlog.get_logger()

POLL_MS = 50
BUSY_POLL_MS = 5
POLL_RECORDS = 2000
RELEASE_S = 20.0
LAG_S = 1.0
RESTORE_PATIENCE_S = 60.0
FETCH_BYTES = 4 * 1024 * 1024  # of a partition
ANSWER_BYTES = 4 * FETCH_BYTES  # of all: larger ones only wait in memory


class Restore(NamedTuple):
    """A partition on its way back to where it was: records from ``begin`` to ``until`` only rebuild state."""

    begin: int
    until: int
    began_s: float


class KafkaSource(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads the telemetry topic; each partition begins with the state that it needs.

    A cell's state is a function of all records before it. On assignment a partition's state is restored beside the
    stream of the others: from its pages, or as of the log's beginning where there are none. From where that stands up
    to the committed offset the partition is read without publishing; from there on results are published. Nothing is
    skipped: an offset outside the log is an error, or a counted loss.
    """

    def __init__(self, consumer: Any, settings: Settings, telemetry: Telemetry, health: Health, clock: Clock) -> None:
        self._consumer = consumer
        self._topic = settings.topics.telemetry
        self._group = settings.kafka.group
        self._instance_id = settings.kafka.instance_id
        self._bootstrap = settings.kafka.bootstrap
        self._telemetry = telemetry
        self._health = health
        self._clock = clock
        self._holder: Holder | None = None
        self._assigned: set[Partition] | None = None
        self._with_state: set[Partition] = set()
        self._opening: dict[Partition, asyncio.Task[Restore]] = {}
        self._open: dict[Partition, Restore | None] = {}
        self._next: dict[Partition, int] = {}
        self._failure: Exception | None = None
        self._stopping = False
        self._fetching: asyncio.Timeout | None = None
        self._joined = False
        self._drained = 0
        self._last_record_s: float | None = None
        self._lag_reported_s = 0.0

    @classmethod
    async def start(cls, settings: Settings, telemetry: Telemetry, health: Health, clock: Clock) -> Self:
        """Connects; the group is joined by `poll`."""

        def make() -> Any:
            return AIOKafkaConsumer(
                **connection(settings.kafka),
                group_id=settings.kafka.group,
                group_instance_id=settings.kafka.instance_id,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                session_timeout_ms=settings.kafka.session_timeout_ms,
                heartbeat_interval_ms=settings.kafka.session_timeout_ms // 4,
                max_partition_fetch_bytes=FETCH_BYTES,
                fetch_max_bytes=ANSWER_BYTES,
            )

        health.require("partitions", "joining the group")
        consumer = await started(make, settings.kafka.bootstrap)
        unwrap(consumer)
        if settings.kafka.instance_id is not None:
            keep_name(consumer)
        return cls(consumer, settings, telemetry, health, clock)

    def end(self) -> None:
        """Lets `poll` finish after what it is handing over now."""
        self._stopping = True
        if self._fetching is not None:  # for the group to agree the client waits without end
            self._fetching.reschedule(0.0)

    async def stop(self) -> None:
        """Leaves the group and disconnects."""
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await stopped(self._consumer)

    def idle_s(self) -> float:
        """Seconds since the last record, or since the partitions were open; zero until then."""
        if self._last_record_s is None or self._opening or any(self._open.values()):
            return 0.0
        return self._clock.monotonic_s() - self._last_record_s

    async def poll(self, holder: Holder) -> AsyncIterator[Polled | None]:
        """Yields records of the partitions that are open; ``None`` where a poll found nothing."""
        self._holder = holder
        self._consumer.subscribe([self._topic], listener=self)
        while not self._stopping:
            self._health.beat("loop")
            self._report_lag()
            if self._failure is not None:
                raise self._failure
            self._begin_opening(holder)
            self._end_opening()
            free = [TopicPartition(*partition) for partition in await holder.free(self._open, POLL_MS / 1000)]
            held_back = len(free) < len(self._open)  # then records of the others may wait
            if held_back:
                self._last_record_s = self._clock.monotonic_s()
            if held_back and not free:
                yield None
                continue
            poll_ms = BUSY_POLL_MS if held_back else POLL_MS
            try:
                async with asyncio.timeout(None) as self._fetching:
                    fetched = await self._consumer.getmany(*free, timeout_ms=poll_ms, max_records=POLL_RECORDS)
            except TimeoutError:
                continue  # it is to end
            except OffsetOutOfRangeError as error:
                await self._out_of_range(holder, error.args[0])
                continue
            except KafkaError as error:
                raise self._failure or cannot_go_on(error, self._group, self._instance_id) from error
            finally:
                self._fetching = None
            self._drained += not held_back and sum(map(len, fetched.values())) < POLL_RECORDS
            handed = False
            for topic_partition, records in fetched.items():
                partition = Partition(topic_partition.topic, topic_partition.partition)
                for polled in self._split(partition, records):
                    yield polled
                    handed = True
            if not handed:
                await self._check_restored()
                yield None

    async def progress(self) -> Progress:
        """Where it stands, for a watchdog."""
        if not self._joined:
            return Progress(self._drained, None)
        held = {partition: TopicPartition(*partition) for partition in self._open}
        positions = {
            partition: await self._consumer.position(tp)
            for partition, tp in held.items()
            if tp in self._consumer.assignment()
        }
        return Progress(self._drained, positions)

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commits; what is refused because the partition moved on will be read again by its new owner."""
        held = self._consumer.assignment()
        mine = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "")
            for partition, offset in offsets.items()
            if TopicPartition(*partition) in held
        }
        if mine:
            try:
                await self._consumer.commit(mine)
            except (CommitFailedError, IllegalStateError) as error:
                log.warning("commit refused: the group is rebalancing", error=str(error))

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Publishes and commits what is on its way, within a bounded time; the rest is read again by the new owner."""
        self._joined = False
        partitions = [Partition(tp.topic, tp.partition) for tp in revoked]
        opening = [task for partition in partitions if (task := self._opening.pop(partition, None)) is not None]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for partition in partitions:
            self._open.pop(partition, None)
            self._next.pop(partition, None)
            with contextlib.suppress(KeyError):  # not reported yet
                self._telemetry.lag_records.remove(str(partition.number))
        if not partitions or self._holder is None:
            return
        log.info("partitions revoked", partitions=sorted(partition.number for partition in partitions))
        try:
            await asyncio.wait_for(self._holder.release(partitions), RELEASE_S)
        except TimeoutError:
            log.warning("partitions revoked with results on their way: their input is read again by the new owner")
        except Exception as error:  # noqa: BLE001 - the client would swallow it: the next poll raises it
            self._failure = error

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Notes what is held now; `poll` opens it, so that no record is handed over before."""
        self._joined = True
        self._assigned = {Partition(tp.topic, tp.partition) for tp in assigned}
        try:
            for tp in assigned:
                self._hold(tp)
        except Exception as error:  # noqa: BLE001 - as above
            self._failure = error
        self._telemetry.rebalances.inc()
        log.info("partitions assigned", partitions=sorted(tp.partition for tp in assigned))
        self._health.require("partitions", f"restoring {len(assigned)}")

    def _begin_opening(self, holder: Holder) -> None:
        """Starts to open newly assigned partitions; the state of partitions that went elsewhere is dropped."""
        if self._assigned is None:
            return
        assigned, self._assigned = self._assigned, None
        holder.discard(self._with_state - assigned)
        self._with_state = set(assigned)
        for partition in sorted(assigned):
            self._opening[partition] = asyncio.create_task(self._opened(holder, partition))
        self._last_record_s = self._clock.monotonic_s()
        self._report_restored()

    def _hold(self, tp: TopicPartition) -> None:
        """Lets nothing be fetched before the state is there; with no place to stand the client would ask for one."""
        self._consumer.seek(tp, 0)
        self._consumer.pause(tp)

    def _end_opening(self) -> None:
        """Lets those records be fetched whose partition has its state."""
        for partition, task in list(self._opening.items()):
            if not task.done():
                continue
            del self._opening[partition]
            restore = task.result()
            tp = TopicPartition(*partition)
            self._consumer.seek(tp, restore.begin)
            self._consumer.resume(tp)
            self._next[partition] = restore.begin
            self._open[partition] = restore
            if restore.begin >= restore.until:
                self._restored(partition, restore)
            faults.reach("assigned")

    async def _opened(self, holder: Holder, partition: Partition) -> Restore:
        """Restores the partition's state; says from where to where it is to be read again."""
        began_s = self._clock.monotonic_s()
        published = await holder.acquire(partition)
        tp = TopicPartition(*partition)
        committed, beginning = await patiently(lambda: self._standing(tp), self._bootstrap, RESTORE_PATIENCE_S)
        name = f"{partition.topic}-{partition.number}"
        if published is not None and published > (committed or 0):
            # A coordinator that was elected a moment ago may not know better yet; nothing is published twice.
            log.warning("the group's offset is behind what is published", partition=name, committed=committed)
            committed = published
        if committed is None:
            committed = beginning
        if committed < beginning:
            self._telemetry.lost_records.inc(beginning - committed)
            log.error("records deleted before they were read", partition=name, records=beginning - committed)
            committed = beginning
        begin = holder.held(partition)
        if begin != committed:  # another member may have been further since
            begin = await holder.restore(partition, committed)
        if begin is None or begin < beginning:
            begin = beginning
            if 0 < beginning < committed:
                log.warning("state is rebuilt from a log that no longer reaches back to its start", partition=name)
        return Restore(begin, committed, began_s)

    async def _standing(self, tp: TopicPartition) -> tuple[int | None, int]:
        """The group's committed offset, if any, and where the log begins."""
        committed = await self._consumer.committed(tp)
        return committed, (await self._consumer.beginning_offsets([tp]))[tp]

    def _split(self, partition: Partition, records: Sequence[Received]) -> Iterator[Polled]:
        """Records of one partition, parted where its restored state ends."""
        if partition not in self._open:
            return
        self._last_record_s = self._clock.monotonic_s()
        self._next[partition] = records[-1].offset + 1
        restore = self._open[partition]
        if restore is None:
            yield Polled(partition, records)
            return
        old = [record for record in records if record.offset < restore.until]
        new = records[len(old) :]
        if old:
            yield Polled(partition, old, replayed=True)
        if (new or old[-1].offset + 1 == restore.until) and self._open.get(partition) is restore:
            self._restored(partition, restore)
        if new:
            yield Polled(partition, new)

    async def _out_of_range(self, holder: Holder, offsets: Mapping[TopicPartition, int]) -> None:
        """The log was cut behind this consumer (then it opens again, and counts the loss), or made anew before it."""
        for tp, offset in offsets.items():
            partition = Partition(*tp)
            if offset > (await self._consumer.beginning_offsets([tp]))[tp]:
                raise self._made_anew(partition, offset)
            if self._open.pop(partition, None) is not None or partition in self._next:
                self._hold(tp)
                self._opening[partition] = asyncio.create_task(self._opened(holder, partition))

    async def _check_restored(self) -> None:
        """Control records and compaction leave holes, so the last record before the committed offset may never come."""
        for partition, restore in list(self._open.items()):
            if restore is None:
                continue
            tp = TopicPartition(*partition)
            if await self._consumer.position(tp) >= restore.until:
                self._restored(partition, restore)
            elif (self._consumer.highwater(tp) or restore.until) < restore.until:
                raise self._made_anew(partition, restore.until)

    def _made_anew(self, partition: Partition, offset: int) -> Fatal:
        return Fatal(
            f"group {self._group!r} stands at offset {offset} of {partition.topic}-{partition.number}, which ends "
            "before that: the topic was made anew. Use another `app` and kafka.group, or reset the offsets of this one "
            "and delete the topic of its state"
        )

    def _restored(self, partition: Partition, restore: Restore) -> None:
        seconds = self._clock.monotonic_s() - restore.began_s
        self._open[partition] = None
        self._telemetry.restore_seconds.observe(seconds)
        log.info("partition restored", partition=partition.number, offset=restore.until, seconds=round(seconds, 3))
        self._report_restored()

    def _report_restored(self) -> None:
        restoring = [partition.number for partition, restore in self._open.items() if restore is not None]
        restoring += [partition.number for partition in self._opening]
        if restoring:
            self._health.require("partitions", f"restoring {sorted(restoring)}")
        else:
            self._health.meet("partitions", f"{len(self._open)} open")
            gc.collect()  # clients that ended with the last assignment leave cycles, which are rarely looked for

    def _report_lag(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._lag_reported_s < LAG_S:
            return
        self._lag_reported_s = now_s
        for partition, offset in self._next.items():
            tp = TopicPartition(*partition)
            high = self._consumer.highwater(tp) if tp in self._consumer.assignment() else None
            if high is not None:
                self._telemetry.lag_records.labels(str(partition.number)).set(max(high - offset, 0))
