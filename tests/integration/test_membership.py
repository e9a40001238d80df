"""Members with names of their own, on a real Kafka: who restarts is known again, who takes a name takes it for good."""

from __future__ import annotations

import asyncio
import json
import signal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from model.schema import CycleSteps
from stream.seams import Record
from stream.settings import Settings
from tests.oracle import Oracle, agree, clean_run
from tests.service import StreamProcess, predictions, produce, settings, until_predicted
from tests.telemetry import artifact, records

SESSION_MS = 60_000  # whoever is killed is back before, on a busy machine, too
PACKS = [f"P{number}" for number in range(8)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "artifact"
    artifact(folder, CycleSteps(window=8))
    return folder


@pytest.fixture(scope="module")
def telemetry() -> list[Record]:
    return records(PACKS, 200, 2)


@pytest.fixture(scope="module")
def oracle(model: Path, telemetry: list[Record]) -> Oracle:
    return clean_run(model, telemetry)


def named(bootstrap: str, topic: str, model: Path, instance_id: str) -> Settings:
    given = settings(bootstrap, topic, model)
    own = {"instance_id": instance_id, "session_timeout_ms": SESSION_MS}
    return given.model_copy(update={"kafka": given.kafka.model_copy(update=own)})


def said(service: StreamProcess, event: str) -> list[dict[str, Any]]:
    """The log's entries of this name, in order."""
    entries = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    return [entry for entry in entries if entry["event"] == event]


async def until_shared(*services: StreamProcess) -> None:
    """Waits until each holds partitions, and all together hold each once."""
    async with asyncio.timeout(60):
        while True:
            held = [assigned[-1]["partitions"] for service in services if (assigned := said(service, ASSIGNED))]
            if len(held) == len(services) and all(held) and sorted(chain.from_iterable(held)) == [0, 1, 2, 3]:
                return
            await asyncio.sleep(0.05)


ASSIGNED = "partitions assigned"


async def test_static_member_that_restarts_has_its_partitions_back_and_the_other_notices_nothing(
    kafka, topic, model, telemetry, oracle
):
    first, second = (named(kafka.bootstrap, topic, model, name) for name in ("pod-0", "pod-1"))
    half = len(telemetry) // 2
    await produce(first, telemetry[:half])
    async with StreamProcess(first) as restarted, StreamProcess(second) as other:
        await until_shared(restarted, other)
        await until_predicted(first)
        held, before = said(restarted, ASSIGNED)[-1]["partitions"], len(said(other, ASSIGNED))
        restarted.send(signal.SIGKILL)
        await restarted.ended()
        await produce(first, telemetry[half:])
        async with StreamProcess(first) as again:
            await again.said(ASSIGNED)
            assert said(again, ASSIGNED)[-1]["partitions"] == held
            await until_predicted(first, len(oracle))
            assert len(said(other, ASSIGNED)) == before
            assert len(said(again, ASSIGNED)) == 1
            again.send(signal.SIGTERM)
            assert await again.ended() == 0, again.log
        other.send(signal.SIGTERM)
        assert await other.ended() == 0, other.log
    agree(await predictions(first), oracle, once=True)


async def test_of_two_members_with_one_name_the_older_ends_and_says_why(kafka, topic, model, telemetry, oracle):
    given = named(kafka.bootstrap, topic, model, "pod-0")
    half = len(telemetry) // 2
    await produce(given, telemetry[:half])
    async with StreamProcess(given) as older:
        await until_predicted(given)
        async with StreamProcess(given) as newer:
            assert await older.ended() == 1, older.log
            assert "'pod-0' and took this one's place" in older.log
            assert "Traceback" not in older.log
            await produce(given, telemetry[half:])
            await until_predicted(given, len(oracle))
            assert len(said(newer, ASSIGNED)) == 1
            newer.send(signal.SIGTERM)
            assert await newer.ended() == 0, newer.log
    agree(await predictions(given), oracle, once=True)


async def test_static_member_that_slept_past_its_session_joins_again(kafka, topic, model, telemetry, oracle):
    given = named(kafka.bootstrap, topic, model, "pod-0")
    given = given.model_copy(update={"kafka": given.kafka.model_copy(update={"session_timeout_ms": 1500})})
    half = len(telemetry) // 2
    await produce(given, telemetry[:half])
    async with StreamProcess(given) as sleeper:
        await until_predicted(given)
        sleeper.send(signal.SIGSTOP)
        await asyncio.sleep(3)
        sleeper.send(signal.SIGCONT)
        async with asyncio.timeout(30):
            while len(said(sleeper, ASSIGNED)) < 2:  # noqa: ASYNC110 - another process gives no event to wait for
                await asyncio.sleep(0.05)
        await produce(given, telemetry[half:])
        await until_predicted(given, len(oracle))
        sleeper.send(signal.SIGTERM)
        assert await sleeper.ended() == 0, sleeper.log
    agree(await predictions(given), oracle, once=True)
