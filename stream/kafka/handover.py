"""Messages on their way to their partitions, a batch at a time.

The client's own `send` takes messages one by one: it hashes each key in Python, makes a future for each and wakes it
when its batch is acknowledged. Where some share a partition, they are put into a batch here, with one future.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.seams import Message

LEAST = 3  # messages of a partition that are worth a batch of their own
_SEED, _MIX, _SHIFT = np.uint32(0x9747B28C), np.uint32(0x5BD1E995), np.uint32(24)


class HandedOver(NamedTuple):
    """Messages and what completes when all of them are acknowledged, or none can be."""

    messages: Sequence[Message]
    acknowledged: asyncio.Future[Any]


async def hand_over(producer: Any, messages: Sequence[Message]) -> list[HandedOver]:
    """Gives messages to the producer; those of one partition go in order."""
    groups: dict[tuple[str, int | None], list[Message]] = {}
    by_topic: dict[str, list[Message]] = {}
    for message in messages:
        by_topic.setdefault(message.topic, []).append(message)
    for topic, own in by_topic.items():
        count = len(await producer.partitions_for(topic))
        for message, partition in zip(own, _partitions(own, count), strict=True):
            groups.setdefault((topic, partition), []).append(message)
    handed: list[HandedOver] = []
    for (topic, partition), group in groups.items():
        if partition is None or len(group) < LEAST or any(message.headers for message in group):
            handed += [await _sent(producer, message, partition) for message in group]
        else:
            handed += await _batched(producer, topic, partition, group)
    return handed


async def _sent(producer: Any, message: Message, partition: int | None) -> HandedOver:
    headers = list(message.headers)
    sent = await producer.send(message.topic, message.value, key=message.key, partition=partition, headers=headers)
    return HandedOver((message,), sent)


async def _batched(producer: Any, topic: str, partition: int, group: Sequence[Message]) -> list[HandedOver]:
    handed = []
    begin = 0
    while begin < len(group):
        batch, end = producer.create_batch(), begin
        while end < len(group) and batch.append(timestamp=None, key=group[end].key, value=group[end].value):
            end += 1
        handed.append(HandedOver(group[begin:end], await producer.send_batch(batch, topic, partition=partition)))
        begin = end
    return handed


def _partitions(messages: Sequence[Message], count: int) -> list[int | None]:
    """Where each belongs that says so, tells what it came of or has a key; the client chooses for the others."""
    loose = [message.key or b"" for message in messages if message.partition is None and message.of is None]
    hashed = iter(((murmur2(loose) & 0x7FFFFFFF) % count).tolist())
    found: list[int | None] = []
    for message in messages:
        if message.partition is not None:
            found.append(message.partition)
        elif message.of is not None:
            found.append(message.of % count)
        else:
            at = next(hashed)
            found.append(None if message.key is None else at)
    return found


def murmur2(keys: Sequence[bytes]) -> NDArray[np.uint32]:
    """The hash by which Kafka's clients spread keys over partitions: Appleby's MurmurHash2, as in Kafka's `Utils`."""
    found = np.empty(len(keys), np.uint32)
    ends = np.cumsum(np.fromiter(map(len, keys), np.int64, len(keys)))
    _murmur2(np.frombuffer(b"".join(keys) or b"\0", np.uint8), ends, found)
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def _murmur2(text, ends, out):  # type: ignore[no-untyped-def]
    begin = 0
    for row in range(len(ends)):
        size = ends[row] - begin
        value = _SEED ^ np.uint32(size)
        for at in range(begin, begin + size // 4 * 4, 4):
            word = np.uint32(0)
            for byte in range(4):
                word |= np.uint32(text[at + byte]) << np.uint32(8 * byte)
            word = np.uint32(word * _MIX)
            word ^= word >> _SHIFT
            value = np.uint32(np.uint32(value * _MIX) ^ np.uint32(word * _MIX))
        rest = size % 4
        if rest:
            for byte in range(rest):
                value ^= np.uint32(text[begin + size - rest + byte]) << np.uint32(8 * byte)
            value = np.uint32(value * _MIX)
        value ^= value >> np.uint32(13)
        value = np.uint32(value * _MIX)
        out[row] = value ^ (value >> np.uint32(15))
        begin += size
