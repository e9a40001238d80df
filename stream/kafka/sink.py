"""Results to Kafka: acknowledged by all replicas in sync, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnknownError, UnsupportedVersionError

from stream.errors import Fatal
from stream.kafka.client import connection, quiet_sender, started, stopped
from stream.kafka.handover import HandedOver, hand_over
from stream.kafka.topics import DEAD_LETTER_BYTES
from stream.seams import Message
from stream.settings import Settings

log = structlog.get_logger()


class KafkaSink:
    """A producer that waits for all replicas in sync.

    ``idempotent`` tells whether a retry by the client is never a second record; not every Kafka-compatible broker can.
    """

    def __init__(self, producer: Any, *, idempotent: bool) -> None:
        self._producer = producer
        self.idempotent = idempotent

    @classmethod
    async def start(cls, settings: Settings, patience_s: float | None = None) -> Self:
        """Connects; see `stream.kafka.client.started` for what happens while the broker is away."""

        def make(*, idempotent: bool) -> Any:
            return AIOKafkaProducer(
                **connection(settings.kafka),
                acks="all",
                enable_idempotence=idempotent,
                linger_ms=0,  # what is handed over at once is batched already
                max_batch_size=256 * 1024,
                max_request_size=DEAD_LETTER_BYTES,
            )

        bootstrap = settings.kafka.bootstrap
        try:
            with quiet_sender():
                return cls(await started(lambda: make(idempotent=True), bootstrap, patience_s), idempotent=True)
        except (UnknownError, UnsupportedVersionError):
            log.warning("the broker knows no idempotent producers: a retried send may come twice", bootstrap=bootstrap)
            return cls(await started(lambda: make(idempotent=False), bootstrap, patience_s), idempotent=False)

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        """Hands messages over in order; the returned awaitable completes when all are acknowledged."""
        return self._acknowledged(await hand_over(self._producer, messages))

    async def stop(self) -> None:
        """Waits for what is on its way, and disconnects."""
        await stopped(self._producer)

    async def _acknowledged(self, handed: Sequence[HandedOver]) -> None:
        results = await asyncio.gather(*(each.acknowledged for each in handed), return_exceptions=True)
        for (messages, _), result in zip(handed, results, strict=True):
            message = messages[0]
            if isinstance(result, MessageSizeTooLargeError) and len(messages) == 1 and message.value is not None:
                await (await self.send([without_value(message)]))
            elif isinstance(result, KafkaError):
                raise Fatal(f"the broker did not take a record of {message.topic}: {result!r}") from result
            elif isinstance(result, BaseException):
                raise result


def without_value(message: Message) -> Message:
    """A dead letter that is too large for its topic keeps its headers, which say where the original lies."""
    size = len(message.value or b"")
    log.error("record too large for its topic", topic=message.topic, bytes=size)
    return message._replace(value=None, headers=(*message.headers, ("omitted_bytes", str(size).encode())))
