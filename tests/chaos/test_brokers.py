"""Brokers die and lose what they had in memory or on disk: every prediction is readable exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.settings import Settings
from tests.chaos.conftest import SEEDS, hasty
from tests.chaos.stage import Stage
from tests.kafka import disk
from tests.kafka.cluster import KafkaCluster

KILLS = 5


@pytest.fixture
async def where(cluster: KafkaCluster, topic: str, model: Path) -> Settings:
    """On three brokers: everything is on each, and two have to have it before it counts."""
    await cluster.healed()
    return hasty(cluster.bootstrap, topic, model, replication=3)


@pytest.mark.skipif(not SEEDS, reason="takes long, and the other schedules kill brokers, too: `make chaos` runs it")
async def test_committed_output_equals_clean_run_after_leaders_were_killed(
    stage: Stage, where: Settings, cluster: KafkaCluster
) -> None:
    stage.pods(None)
    await stage.feed(over_s=8 * KILLS)
    for _ in range(KILLS):
        leader = await cluster.leader(where.topics.telemetry, stage.chance.randrange(where.topics.partitions))
        async with stage.down(leader):
            await stage.pause(0, 1)
        await cluster.healed()
    await stage.agrees()


async def test_committed_output_equals_clean_run_after_coordinators_were_killed(
    stage: Stage, where: Settings, cluster: KafkaCluster
) -> None:
    transactions = f"{where.app}-{where.topics.telemetry}-{stage.chance.randrange(where.topics.partitions)}"
    stage.pods(None, None)
    await stage.feed(over_s=15)
    async with stage.down(await cluster.coordinator(where.kafka.group, "group")):
        await stage.pause(0, 3)
    await cluster.healed()
    async with stage.down(await cluster.coordinator(transactions, "transaction")):
        await stage.pause(0, 3)
    await stage.agrees()


async def test_committed_output_equals_clean_run_after_a_broker_lost_its_page_cache(
    stage: Stage, where: Settings, cluster: KafkaCluster
) -> None:
    stage.pods(None)
    await stage.feed(over_s=12)
    leader = await cluster.leader(where.topics.predictions, stage.chance.randrange(where.topics.partitions))
    await stage.pause(0, 2)
    async with stage.down(leader):
        lost = disk.lose_unwritten(leader.data, stage.chance)
        await stage.pause(0, 2)
    assert lost > 0
    await stage.progress()
    await stage.agrees()


async def test_committed_output_equals_clean_run_after_a_disk_was_full(
    stage: Stage, where: Settings, cluster: KafkaCluster
) -> None:
    stage.pods(None)
    await stage.feed(over_s=12)
    leader = await cluster.leader(where.topics.telemetry, stage.chance.randrange(where.topics.partitions))
    assert leader.pid is not None
    with stage.fault(f"the disk of broker {leader.node_id} is full"):
        disk.fill(leader.pid, leader.data, stage.chance)
        await stage.pause(2, 5)
    async with stage.down(leader):  # by now it has ended itself, as Kafka does without a log folder
        await stage.pause(0, 1)
    await stage.progress()
    await stage.agrees()
