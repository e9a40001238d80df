"""Predictions to Kafka as the service hands them over, beside the client's own `send`: processor time of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import process_time

from bench.core import ROUNDS
from bench.service import broker
from bench.table import Line, Row, Skipped
from stream.kafka.sink import KafkaSink
from stream.kafka.topics import ensure, wanted
from stream.seams import Message
from stream.settings import Settings
from tests.kafka.cluster import missing_tools

MESSAGES, AT_ONCE = 10_240, 256  # a batch of windows
VALUE_BYTES = 480  # of a prediction


def rows() -> Iterator[Line]:
    """Messages a core's second, to eight partitions."""
    if missing := missing_tools():
        yield Skipped("predictions to Kafka", missing)
        return
    one_by_one, ours = asyncio.run(_measured())
    yield Row("predictions to Kafka", "messages", "the client's send", one_by_one, ours)


async def _measured() -> tuple[float, float]:
    async with broker() as bootstrap:
        given = Settings.model_validate({"kafka": {"bootstrap": bootstrap}})
        await ensure(given, wanted(given))
        topic, value = given.topics.predictions, b"x" * VALUE_BYTES
        messages = [Message(topic, f"P{at % 40}/{at % 96}".encode(), value) for at in range(MESSAGES)]
        sink = await KafkaSink.start(given)
        try:

            async def one_by_one(some: Sequence[Message]) -> None:
                sent = [await sink._producer.send(each.topic, each.value, key=each.key) for each in some]
                await asyncio.gather(*sent)

            async def ours(some: Sequence[Message]) -> None:
                await (await sink.send(some))

            spent_s = [[await _spent_s(messages, way) for way in (one_by_one, ours)] for _ in range(ROUNDS)]
        finally:
            await sink.stop()
    best = [MESSAGES / min(own) for own in zip(*spent_s, strict=True)]
    return best[0], best[1]


async def _spent_s(messages: Sequence[Message], way: Callable[[Sequence[Message]], Awaitable[None]]) -> float:
    began = process_time()
    for begin in range(0, MESSAGES, AT_ONCE):
        await way(messages[begin : begin + AT_ONCE])
    return process_time() - began
