"""The broker dies under the stream and comes back: every prediction is readable exactly once."""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from stream.seams import Record
from tests.kafka.cluster import KafkaCluster, KafkaNode, kafka_jars, missing_tools
from tests.oracle import agree
from tests.service import StreamProcess, predictions, produce, settings, until_predicted
from tests.telemetry import records

FRAMES, CELLS = 600, 4
SEEDS = range(int(os.environ.get("SEEDS", "1")))


@pytest.fixture(scope="module")
def telemetry() -> list[Record]:
    return records([f"P{number}" for number in range(8)], FRAMES, CELLS)


@pytest.mark.parametrize("seed", SEEDS)
async def test_committed_output_equals_clean_run_after_the_broker_died(topic, model, telemetry, oracle, tmp_path, seed):
    if reason := missing_tools():
        pytest.skip(f"Apache Kafka cannot run here: {reason}")
    chance = random.Random(seed)
    async with KafkaNode(tmp_path, kafka_jars()) as node:
        given = settings(node.bootstrap, topic, model, batch={"max_windows": 8})
        half = len(telemetry) // 2
        await produce(given, telemetry[:half])
        async with StreamProcess(given) as service:
            await until_predicted(given)
            await asyncio.sleep(chance.uniform(0, 0.3))
            node.kill()
            await asyncio.sleep(chance.uniform(0.5, 5))
            await node.start()
            await produce(given, telemetry[half:])
            await until_predicted(given, len(oracle), timeout_s=60)
            service.send(signal.SIGTERM)
            assert await service.ended() == 0, service.log
        agree(await predictions(given), oracle, once=True)


@pytest.mark.parametrize("seed", SEEDS)
async def test_committed_output_equals_clean_run_after_leaders_died_one_after_the_other(
    topic, model, telemetry, oracle, tmp_path, seed
):
    if reason := missing_tools():
        pytest.skip(f"Apache Kafka cannot run here: {reason}")
    chance = random.Random(seed)
    async with KafkaCluster(tmp_path, kafka_jars()) as cluster:
        given = settings(cluster.bootstrap, topic, model, batch={"max_windows": 8})
        given = given.model_copy(update={"topics": given.topics.model_copy(update={"replication": 3})})
        part = len(telemetry) // 6
        await produce(given, telemetry[:part])
        async with StreamProcess(given) as service:
            await until_predicted(given)
            for turn in range(1, 6):
                leader = await cluster.leader(given.topics.telemetry, chance.randrange(4))
                leader.kill()
                await produce(given, telemetry[turn * part : (turn + 1) * part if turn < 5 else None])
                await asyncio.sleep(chance.uniform(0, 1))
                await leader.start()
                await cluster.healed()
            await until_predicted(given, len(oracle), timeout_s=60)
            service.send(signal.SIGTERM)
            assert await service.ended() == 0, service.log
        agree(await predictions(given), oracle, once=True)
