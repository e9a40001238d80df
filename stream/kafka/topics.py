"""The topics that the stream needs: there already, or created with the settings they need."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from stream.errors import Fatal
from stream.kafka.client import AWAY, connection, patiently, stopped
from stream.settings import Settings

log = structlog.get_logger()

# A dead letter is as large as the record that it came from, and that may be larger than a broker's default.
DEAD_LETTER_BYTES = 32 * 1024 * 1024
DEFAULT_BYTES = 1024 * 1024  # of a broker and its topics where nothing else is set
LARGEST = "max.message.bytes"


KNOWN_S = 10.0  # a topic that was just made is known to the next broker within so long
STATE_CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 * 1024 * 1024),  # only closed segments are compacted
    "min.cleanable.dirty.ratio": "0.3",
    "max.message.bytes": str(4 * 1024 * 1024),
}


class Topic(NamedTuple):
    """A topic as it should be created."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]

    def command(self, bootstrap: str) -> str:
        """The command that creates it by hand."""
        config = " ".join(f"--config {key}={value}" for key, value in self.config.items())
        return (
            f"kafka-topics.sh --bootstrap-server {shlex.quote(bootstrap)} --create --topic {self.name} "
            f"--partitions {self.partitions} --replication-factor {self.replication} {config}"
        ).rstrip()


def wanted(settings: Settings) -> list[Topic]:
    """The topics of the telemetry stream and its results."""
    topics = settings.topics
    size = (topics.partitions, topics.replication)
    return [
        Topic(topics.telemetry, *size, {}),
        Topic(topics.predictions, *size, {}),
        Topic(topics.packs, *size, {"cleanup.policy": "compact"}),
        # What stands is read from the beginning, and may have begun long ago.
        Topic(topics.alerts, *size, {"retention.ms": "-1"}),
        Topic(topics.dead_letters, *size, {"max.message.bytes": str(DEAD_LETTER_BYTES)}),
    ]


def state_topic(settings: Settings) -> str:
    """The name of the topic that cell state is kept in."""
    return f"{settings.app}.state"


def wanted_by_shadow(settings: Settings) -> list[Topic]:
    """Where a shadow model answers."""
    topics = settings.topics
    return [Topic(topics.shadow_predictions, topics.partitions, topics.replication, {})]


async def ensure(settings: Settings, topics: Iterable[Topic], patience_s: float | None = None) -> None:
    """Creates what is missing. Raises `Fatal` with the command to run where the broker does not allow it."""
    bootstrap = settings.kafka.bootstrap
    await patiently(lambda: _ensure(settings, list(topics)), bootstrap, patience_s)


async def ensure_state(settings: Settings) -> None:
    """Creates the topic for cell state with as many partitions as the input has, or gives it those that it lacks."""
    await patiently(lambda: _ensure_state(settings), settings.kafka.bootstrap)


async def _ensure(settings: Settings, topics: Sequence[Topic]) -> None:
    async with _administered(settings) as admin:
        existing = set(await admin.list_topics())
        for topic in topics:
            if topic.name not in existing:
                await _create(admin, topic, settings.kafka.bootstrap)
        await _partitions(admin, [topic.name for topic in topics])


async def _partitions(admin: Any, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each topic has, once all that are named are known: a new one spreads among the brokers."""
    async with asyncio.timeout(KNOWN_S):
        while True:
            partitions = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
            if all(partitions.get(name) for name in names):
                return partitions
            await asyncio.sleep(KNOWN_S / 100)


async def _ensure_state(settings: Settings) -> None:
    async with _administered(settings) as admin:
        partitions = await _partitions(admin, [settings.topics.telemetry])
        needed = partitions[settings.topics.telemetry]
        topic = Topic(state_topic(settings), needed, settings.topics.replication, STATE_CONFIG)
        if topic.name not in partitions:
            await _create(admin, topic, settings.kafka.bootstrap)
        elif partitions[topic.name] < needed:
            await _grow(admin, topic, settings.kafka.bootstrap)
        await _partitions(admin, [topic.name])


async def largest_message(settings: Settings, topic: str) -> int:
    """Bytes that a topic takes in one batch; where this user may not ask for it, what is usual."""

    async def ask() -> int:
        asked_s = time.monotonic()
        async with _administered(settings) as admin:
            while True:
                asked = ConfigResource(ConfigResourceType.TOPIC, topic, {LARGEST: None})
                (answer,) = await admin.describe_configs([asked])
                error, _, _, _, entries = answer.resources[0]
                # The broker that answers may not have heard yet of a topic that was just made.
                if error != UnknownTopicOrPartitionError.errno or time.monotonic() - asked_s > KNOWN_S:
                    break
                await asyncio.sleep(KNOWN_S / 100)
        found = {entry[0]: entry[1] for entry in entries}
        if error or LARGEST not in found:
            log.warning("the topic does not tell how large a record may be", topic=topic, assumed_bytes=DEFAULT_BYTES)
        return int(found.get(LARGEST, DEFAULT_BYTES))

    return await patiently(ask, settings.kafka.bootstrap)


@contextlib.asynccontextmanager
async def _administered(settings: Settings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**connection(settings.kafka))
    try:
        await admin.start()
        yield admin
    finally:
        await stopped(admin)


async def _create(admin: Any, topic: Topic, bootstrap: str) -> None:
    new = NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=topic.config)
    try:
        response = await admin.create_topics([new])
        for _, code, *_rest in response.topic_errors:
            if code:
                raise for_code(code)
    except TopicAlreadyExistsError:
        return
    except AWAY:
        raise
    except KafkaError as error:
        raise Fatal(
            f"topic {topic.name} does not exist and could not be created ({error}); create it with:\n"
            f"  {topic.command(bootstrap)}"
        ) from error
    log.info("topic created", topic=topic.name, partitions=topic.partitions)


async def _grow(admin: Any, topic: Topic, bootstrap: str) -> None:
    try:
        await admin.create_partitions({topic.name: NewPartitions(topic.partitions)})
    except AWAY:
        raise
    except KafkaError as error:
        raise Fatal(
            f"topic {topic.name} has fewer partitions than the telemetry and could not be given more ({error}); run:\n"
            f"  kafka-topics.sh --bootstrap-server {shlex.quote(bootstrap)} --alter --topic {topic.name} "
            f"--partitions {topic.partitions}"
        ) from error
    log.info("topic given more partitions", topic=topic.name, partitions=topic.partitions)
