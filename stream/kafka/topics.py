"""The topics that the stream needs: there already, or created with the settings they need."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from stream.errors import Fatal
from stream.kafka.client import AWAY, connection, patiently, stopped
from stream.settings import Settings

log = structlog.get_logger()

# A dead letter is as large as the record that it came from, and that may be larger than a broker's default.
DEAD_LETTER_BYTES = 32 * 1024 * 1024


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
        Topic(topics.dead_letters, *size, {"max.message.bytes": str(DEAD_LETTER_BYTES)}),
    ]


async def ensure(settings: Settings, topics: Iterable[Topic], patience_s: float | None = None) -> None:
    """Creates what is missing. Raises `Fatal` with the command to run where the broker does not allow it."""
    bootstrap = settings.kafka.bootstrap
    await patiently(lambda: _ensure(settings, list(topics)), bootstrap, patience_s)


async def _ensure(settings: Settings, topics: Sequence[Topic]) -> None:
    admin = AIOKafkaAdminClient(**connection(settings.kafka))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        for topic in topics:
            if topic.name not in existing:
                await _create(admin, topic, settings.kafka.bootstrap)
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
