from __future__ import annotations

import gzip
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from stream.kafka.unwrapped import unwrap
from tests.conftest import MakeTopic
from tests.kafka.cluster import KafkaNode

FIELDS = ("offset", "timestamp", "key", "value")


async def read(bootstrap: str, topic: str, count: int, *, unwrapped: bool) -> list[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        if unwrapped:
            unwrap(consumer)
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        found: list[Any] = []
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=7)).values():
                found += records
                assert await consumer.position(partition) > found[-1].offset
        return found
    finally:
        await consumer.stop()


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_unwrapped_records_say_what_wrapped_ones_say(
    kafka: KafkaNode, make_topic: MakeTopic, compression: str | None
) -> None:
    topic = await make_topic(kafka.bootstrap)
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id=topic, compression_type=compression
    ) as producer:
        for turn in range(4):
            await producer.begin_transaction()
            for at in range(10):
                headers = [("content-type", b"x"), ("empty", b"")] if at % 3 else []
                value = None if at == 5 else gzip.compress(bytes([turn, at]))
                await producer.send(topic, value, key=b"k" if at % 2 or value is None else None, headers=headers)
            await (producer.abort_transaction() if turn == 1 else producer.commit_transaction())
    wrapped, plain = [await read(kafka.bootstrap, topic, 30, unwrapped=unwrapped) for unwrapped in (False, True)]
    for one, other in zip(wrapped, plain, strict=True):
        assert isinstance(one, ConsumerRecord)
        assert not isinstance(other, ConsumerRecord), "the client's inside has become another: see `unwrap`"
        assert [getattr(one, field) for field in FIELDS] == [getattr(other, field) for field in FIELDS]
        assert list(one.headers) == list(other.headers)


def test_a_client_with_another_inside_goes_on_as_it_is() -> None:
    records: dict[Any, Any] = {}
    other = SimpleNamespace(_fetcher=SimpleNamespace(_records=records))
    unwrap(other)
    assert other._fetcher._records is records
    unwrap(object())
