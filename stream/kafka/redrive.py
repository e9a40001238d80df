"""Dead letters back into the stream: each once, its bytes untouched, and marked so that it cannot go round for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka.client import connection, started, stopped
from stream.kafka.probe import partitions_of, record_at
from stream.kafka.sink import KafkaSink
from stream.seams import Message
from stream.settings import Settings

MARK = "redriven"
_ABOUT = frozenset({"topic", "partition", "offset", "timestamp_ms", "stage", "error", "reason", "omitted_bytes", MARK})
_PATIENCE_S = 3.0
_POLL_MS = 200


class Redriven(NamedTuple):
    """How many dead letters were sent back; how many stay because they failed again after a redrive, or lost bytes."""

    sent: int
    failed_again: int
    without_bytes: int


def headers_of(record: Any) -> dict[str, str]:
    """The headers of a dead letter as text."""
    return {name: value.decode("utf-8", "backslashreplace") for name, value in record.headers}


async def redrive_named(settings: Settings, places: Sequence[tuple[int, int]]) -> Redriven:
    """Sends the dead letters at (partition, offset) back, also those that failed after an earlier redrive."""
    letters = [await record_at(settings, settings.topics.dead_letters, *place) for place in places]
    sink = await KafkaSink.start(settings, _PATIENCE_S)
    try:
        whole = [letter for letter in letters if "omitted_bytes" not in headers_of(letter)]
        await (await sink.send([_original(settings, letter) for letter in whole]))
    finally:
        await sink.stop()
    return Redriven(len(whole), 0, len(letters) - len(whole))


async def redrive_new(settings: Settings, reason: str | None = None) -> Redriven:
    """Sends back every dead letter that came since the last redrive and does not carry the mark of one.

    How far that is, is kept as committed offsets of the group ``<kafka.group>.redrive``; with a ``reason`` only those
    refused for it are sent, and nothing is committed. What is acknowledged is committed after each poll.
    """
    topic = settings.topics.dead_letters

    def make() -> Any:
        return AIOKafkaConsumer(
            **connection(settings.kafka),
            group_id=f"{settings.kafka.group}.redrive",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    sink = await KafkaSink.start(settings, _PATIENCE_S)
    consumer = await started(make, settings.kafka.bootstrap, _PATIENCE_S)
    sent = again = omitted = 0
    try:
        partitions = await partitions_of(settings, topic)
        consumer.assign(partitions)
        while not all([await _at_end(consumer, partition) for partition in partitions]):
            fetched = await consumer.getmany(timeout_ms=_POLL_MS)
            letters = [
                letter
                for records in fetched.values()
                for letter in records
                if reason is None or headers_of(letter).get("reason") == reason
            ]
            fresh = [letter for letter in letters if MARK not in headers_of(letter)]
            whole = [letter for letter in fresh if "omitted_bytes" not in headers_of(letter)]
            await (await sink.send([_original(settings, letter) for letter in whole]))
            sent += len(whole)
            again += len(letters) - len(fresh)
            omitted += len(fresh) - len(whole)
            if fetched and reason is None:
                await consumer.commit({partition: records[-1].offset + 1 for partition, records in fetched.items()})
    finally:
        await stopped(consumer)
        await sink.stop()
    return Redriven(sent, again, omitted)


async def _at_end(consumer: Any, partition: TopicPartition) -> bool:
    end = consumer.highwater(partition)
    return end is not None and await consumer.position(partition) >= end


def _original(settings: Settings, letter: Any) -> Message:
    kept = tuple((name, value) for name, value in letter.headers if name not in _ABOUT)
    return Message(settings.topics.telemetry, letter.key, letter.value, (*kept, (MARK, b"1")))
