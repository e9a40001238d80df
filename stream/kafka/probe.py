"""Looking at a broker without changing it: what topics hold, and what this process may do with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, for_code
from aiokafka.protocol.produce import ProduceRequest

from stream.errors import Fatal
from stream.kafka.client import connection, started, stopped
from stream.kafka.topics import state_topic
from stream.settings import Settings

_PATIENCE_S = 3.0
_READ_S = 10.0
_POLL_MS = 200


class TopicFacts(NamedTuple):
    """What a topic holds. offsets: partition to its first offset and the one after its last; ``last``: the newest."""

    name: str
    offsets: dict[int, tuple[int, int]]
    last: Any | None

    @property
    def records(self) -> int:
        """Offsets between begin and end: the records, where neither compaction nor transactions left holes."""
        return sum(end - begin for begin, end in self.offsets.values())


class Access(NamedTuple):
    """The answers of a broker. An entry of the maps is ``None`` where all is well, else what the broker said."""

    partitions: dict[str, int]
    read: dict[str, str | None]
    write: dict[str, str | None]
    group: str | None


async def topic_facts(settings: Settings, topic: str) -> TopicFacts:
    """Partitions, offsets and the newest record. Raises `Fatal` where the topic does not exist."""
    async with _consumer(settings) as consumer:
        partitions = await _assign(settings, consumer, topic)
        begins = await consumer.beginning_offsets(partitions)
        for partition, end in (await consumer.end_offsets(partitions)).items():
            # What a fetch says of the end counts: some brokers list an end before the last batch's.
            consumer.seek(partition, max(end - 1, begins[partition]))
        newest: Any | None = None
        async with asyncio.timeout(_READ_S):
            while not all([await _at_end(consumer, partition) for partition in partitions]):
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    newest = max(
                        [*records, *([newest] if newest else [])], key=lambda each: (each.timestamp, each.offset)
                    )
        offsets = {each.partition: (begins[each], consumer.highwater(each)) for each in partitions}
        return TopicFacts(topic, offsets, newest)


async def stored(settings: Settings, topic: str) -> AsyncIterator[list[Any]]:
    """The committed records that a topic holds now, poll by poll. Raises `Fatal` where it does not exist."""
    async with _consumer(settings, isolation_level="read_committed") as consumer:
        partitions = await _assign(settings, consumer, topic)
        await consumer.seek_to_beginning(*partitions)
        # Where each ended when it was first heard of: a topic that is written to all the time has no other end.
        ends: dict[TopicPartition, int] = {}
        while not all([each in ends and await consumer.position(each) >= ends[each] for each in partitions]):
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                yield records
            for each in partitions:
                if (end := _committed_end(consumer, each)) is not None:
                    ends.setdefault(each, end)


async def newest(settings: Settings, topic: str) -> list[Any]:
    """What a topic says now of each key: its newest committed record, unless its value is null. Raises as `stored`."""
    held: dict[bytes, Any] = {}
    async for records in stored(settings, topic):
        held |= {record.key: record for record in records}
    return [record for record in held.values() if record.value is not None]


async def record_at(settings: Settings, topic: str, partition: int, offset: int) -> Any:
    """The record (``aiokafka.ConsumerRecord``) at an offset. Raises `Fatal` where there is none."""
    async with _consumer(settings) as consumer:
        known = [each.partition for each in await _assign(settings, consumer, topic)]
        wanted = TopicPartition(topic, partition)
        if partition not in known:
            raise Fatal(f"{topic} has no partition {partition}; it has {len(known)}, from 0 on")
        consumer.assign([wanted])
        begin = (await consumer.beginning_offsets([wanted]))[wanted]
        if offset >= begin:
            consumer.seek(wanted, offset)
            async with asyncio.timeout(_READ_S):
                while not await _at_end(consumer, wanted):
                    for records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=1)).values():
                        if records and records[0].offset == offset:
                            return records[0]
                        raise Fatal(f"{topic} has no record at {partition}:{offset}")
        end = consumer.highwater(wanted)
        holds = f"offsets {begin} to {end - 1}" if end and end > begin else "no records"
        raise Fatal(f"{topic} has no record at {partition}:{offset}; partition {partition} holds {holds}")


async def access(settings: Settings) -> Access:
    """What the broker lets this process see, read, write and join; writes nothing. Raises `Retry` with no broker."""
    topics = settings.topics
    async with _consumer(settings, group=settings.kafka.group) as consumer, _producer(settings) as producer:
        results = (topics.predictions, topics.packs, topics.alerts, topics.dead_letters)
        wanted = (topics.telemetry, *results, state_topic(settings))
        known = await partitions_by_topic(settings)
        partitions = {name: len(known[name]) for name in wanted if name in known}
        read = {name: await _answer(_read(settings, name)) for name in partitions}
        write = {name: await _answer(_write(producer, name)) for name in partitions}
        first = next(iter(partitions), None)
        group = await _answer(consumer.committed(TopicPartition(first, 0))) if first else None
        return Access(partitions, read, write, group)


@asynccontextmanager
async def _consumer(
    settings: Settings, group: str | None = None, isolation_level: str = "read_uncommitted"
) -> AsyncIterator[Any]:
    def make() -> Any:
        return AIOKafkaConsumer(
            **connection(settings.kafka),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation_level,
        )

    consumer = await started(make, settings.kafka.bootstrap, _PATIENCE_S)
    try:
        yield consumer
    finally:
        await stopped(consumer)


@asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[Any]:
    producer = await started(
        lambda: AIOKafkaProducer(**connection(settings.kafka)), settings.kafka.bootstrap, _PATIENCE_S
    )
    try:
        yield producer
    finally:
        await stopped(producer)


async def partitions_by_topic(settings: Settings) -> dict[str, list[int]]:
    """The topics that this process may see and their partitions. A consumer only knows those that it subscribed to."""
    admin = await started(
        lambda: AIOKafkaAdminClient(**connection(settings.kafka)), settings.kafka.bootstrap, _PATIENCE_S
    )
    try:
        described = await admin.describe_topics()
    finally:
        await stopped(admin)
    return {each["topic"]: sorted(part["partition"] for part in each["partitions"]) for each in described}


async def partitions_of(settings: Settings, topic: str) -> list[TopicPartition]:
    """The partitions of a topic. Raises `Fatal` where it does not exist."""
    known = await partitions_by_topic(settings)
    if topic not in known:
        names = ", ".join(sorted(name for name in known if not name.startswith("__"))) or "none"
        do = "; `cyclecast stream` creates it" if topic in settings.topics.model_dump().values() else ""
        raise Fatal(f"topic {topic} does not exist on this broker, which has {names}{do}")
    return [TopicPartition(topic, number) for number in known[topic]]


async def _assign(settings: Settings, consumer: Any, topic: str) -> list[TopicPartition]:
    partitions = await partitions_of(settings, topic)
    consumer.assign(partitions)
    return partitions


async def _at_end(consumer: Any, partition: TopicPartition) -> bool:
    end = consumer.highwater(partition)
    return end is not None and await consumer.position(partition) >= end


def _committed_end(consumer: Any, partition: TopicPartition) -> int | None:
    """Once a fetch has told it. A broker without transactions tells of all."""
    stable, last = consumer.last_stable_offset(partition), consumer.highwater(partition)
    end: int | None = last if stable is None or stable < 0 else stable
    return end


async def _answer(asked: Any) -> str | None:
    try:
        async with asyncio.timeout(_READ_S):
            await asked
    except (KafkaError, TimeoutError) as error:
        return str(error) or repr(error)
    return None


async def _read(settings: Settings, topic: str) -> None:
    # A consumer that is given another topic while it still fetches may trip over its own assertion.
    async with _consumer(settings) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.getmany(timeout_ms=_POLL_MS, max_records=1)


async def _write(producer: Any, topic: str) -> None:
    """A broker checks permission before content: an empty batch is refused for the one or the other, never stored."""
    await producer.partitions_for(topic)
    client = producer.client
    leader = client.cluster.leader_for_partition(TopicPartition(topic, 0))
    answer = await client.send(leader, ProduceRequest(None, 1, 5000, [(topic, [(0, b"")])]))
    code = answer.topics[0][1][0][1]
    if code == TopicAuthorizationFailedError.errno:
        raise for_code(code)(topic)
