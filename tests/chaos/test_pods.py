"""Pods die, sleep, come and go: every prediction is readable exactly once, and every dead letter."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stream.faults import PLACES
from stream.settings import Settings
from tests.chaos.conftest import SEEDS, hasty
from tests.chaos.stage import Stage

IN_RESTORE = [place for place in PLACES if place in ("assigned", "restoring", "restored", "replayed")]
IN_FLOW = [place for place in PLACES if place not in IN_RESTORE]


@pytest.fixture
def where(request: pytest.FixtureRequest, topic: str, model: Path) -> Settings:
    """On three brokers; in the short run, where all should be quick, on the broker alone."""
    if not SEEDS:
        return hasty(request.getfixturevalue("node").bootstrap, topic, model)
    cluster = request.getfixturevalue("cluster")
    asyncio.run(cluster.healed())
    return hasty(cluster.bootstrap, topic, model, replication=3)


async def test_committed_output_equals_clean_run_after_kills_of_three_pods(stage: Stage) -> None:
    one, two = stage.chance.sample(IN_FLOW, 2)
    _, _, third = stage.pods(f"{one}:{stage.chance.randint(1, 20)}", f"{two}:{stage.chance.randint(1, 20)}", None)
    await stage.feed(over_s=8)
    await stage.pause(0, 2)
    stage.kill(third)
    await stage.progress()
    await stage.agrees()


async def test_committed_output_equals_clean_run_after_kills_in_restore_and_rebalance(stage: Stage) -> None:
    (first,) = stage.pods(stage.chance.choice([None, "assigned:2"]))
    await stage.feed(over_s=10)
    stage.pods(*(f"{place}:{stage.chance.randint(1, 2)}" for place in stage.chance.choices(IN_RESTORE, k=2)))
    await stage.progress()
    await stage.pause(0, 3)
    stage.kill(first)
    await stage.progress()
    await stage.agrees()


async def test_committed_output_equals_clean_run_after_scaling_to_three_pods_and_back(stage: Stage) -> None:
    stage.pods(None)
    await stage.feed(over_s=12)
    second, third = stage.pods(None, None)
    await stage.pause(3, 5)
    stage.leave(second)
    await stage.progress()
    await stage.pause(0, 2)
    stage.kill(third, for_good=True)
    await stage.progress()
    await stage.agrees()


async def test_committed_output_equals_clean_run_after_a_pod_slept_past_its_session(stage: Stage) -> None:
    sleeper, _ = stage.pods(None, None)
    await stage.feed(over_s=12)
    await stage.pause(0, 1)
    async with stage.asleep(sleeper):  # others take its partitions over; what it still holds must not be seen
        await stage.pause(4, 5)
    await stage.progress()
    await stage.agrees()


async def test_committed_output_equals_clean_run_after_kills_with_the_telemetry_gone_that_made_the_state(
    stage: Stage,
) -> None:
    pods = stage.pods(None, None)
    await stage.feed(over_s=12)
    await stage.pause(3, 5)
    await stage.forget_telemetry()
    for pod in pods:
        stage.kill(pod)
    await stage.progress()
    await stage.agrees()
