"""The tests' own Kafka: it carries transactions, and a killed node comes back with what it had acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.conftest import MakeTopic
from tests.kafka.cluster import KafkaNode, kafka_jars, missing_tools


async def _read(bootstrap: str, topic: str, count: int, isolation_level: str = "read_uncommitted") -> list[bytes]:
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level=isolation_level
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]


async def test_an_aborted_transaction_is_not_seen(kafka: KafkaNode, make_topic: MakeTopic) -> None:
    topic = await make_topic(kafka.bootstrap)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed")
    assert await _read(kafka.bootstrap, topic, 1, "read_committed") == [b"committed"]
    assert await _read(kafka.bootstrap, topic, 2) == [b"aborted", b"committed"]


async def test_a_killed_node_comes_back_with_its_log(tmp_path: Path, make_topic: MakeTopic) -> None:
    if reason := missing_tools():
        pytest.skip(f"Apache Kafka cannot run here: {reason}")
    async with KafkaNode(tmp_path, kafka_jars()) as node:
        topic = await make_topic(node.bootstrap)
        async with AIOKafkaProducer(bootstrap_servers=node.bootstrap, acks="all") as producer:
            await producer.send_and_wait(topic, b"kept")
        bootstrap = node.bootstrap
        await node.restart()
        assert node.bootstrap == bootstrap
        assert await _read(bootstrap, topic, 1) == [b"kept"]
    assert node.pid is None
