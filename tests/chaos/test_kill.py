"""Whatever is killed, wherever it stands: every prediction is readable exactly once, and every dead letter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal

import pytest

from stream.faults import PLACES
from stream.seams import Record
from tests.oracle import agree
from tests.service import StreamProcess, consumed, predictions, produce, settings, until_predicted
from tests.telemetry import records

PACKS = [f"P{number}" for number in range(8)]
FRAMES, CELLS = 600, 4
BAD_EVERY = 97
SEEDS = range(int(os.environ.get("SEEDS", "1")))


@pytest.fixture(scope="module")
def telemetry() -> list[Record]:
    good = records(PACKS, FRAMES, CELLS)
    return [
        record if at % BAD_EVERY else record._replace(value=f"bad record {at}".encode())
        for at, record in enumerate(good, 1)
    ]


@pytest.mark.parametrize("seed", SEEDS)
async def test_committed_output_equals_clean_run_after_kill(kafka, topic, model, telemetry, oracle, seed):
    chance = random.Random(seed)
    given = settings(kafka.bootstrap, topic, model, batch={"max_windows": 8}, limits={"max_record_bytes": 65536})
    kafka_settings = given.kafka.model_copy(update={"session_timeout_ms": 3000})
    given = given.model_copy(update={"kafka": kafka_settings})
    third = len(telemetry) // 3
    faults = [f"{chance.choice(PLACES)}:{chance.randint(1, 6)}" for _ in range(2)]
    print(f"seed {seed}: faults {faults}")
    await produce(given, telemetry[:third])
    async with contextlib.AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(StreamProcess(given, fault=fault)) for fault in (*faults, None)]
        await until_predicted(given)
        await produce(given, telemetry[third : 2 * third])
        await asyncio.sleep(chance.uniform(0, 1.5))
        await produce(given, telemetry[2 * third :])
        await asyncio.sleep(chance.uniform(0, 1.5))
        workers[2].send(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):  # or all are dead by now
            await until_predicted(given, len(oracle) // 4, timeout_s=8)
    async with StreamProcess(given, "--until-idle", "6") as last:
        assert await last.ended(120) == 0, last.log
    agree(await predictions(given), oracle, once=True)
    letters = sorted(record.value for record in await consumed(given, given.topics.dead_letters))
    assert letters == sorted(record.value for record in telemetry if record.value.startswith(b"bad"))


@pytest.mark.parametrize("seed", SEEDS)
async def test_member_that_slept_past_its_session_cannot_publish_what_others_took_over(
    kafka, topic, model, telemetry, oracle, seed
):
    chance = random.Random(1000 + seed)
    given = settings(kafka.bootstrap, topic, model, batch={"max_windows": 8})
    kafka_settings = given.kafka.model_copy(update={"session_timeout_ms": 2000})
    given = given.model_copy(update={"kafka": kafka_settings})
    half = len(telemetry) // 2
    async with StreamProcess(given) as zombie, StreamProcess(given) as other:
        await produce(given, telemetry[:half])
        await until_predicted(given)
        await asyncio.sleep(chance.uniform(0, 0.5))
        zombie.send(signal.SIGSTOP)
        await produce(given, telemetry[half:])
        await asyncio.sleep(6)
        zombie.send(signal.SIGCONT)
        await until_predicted(given, len(oracle), timeout_s=90)
        await asyncio.sleep(2)
        for worker in (zombie, other):
            with contextlib.suppress(ProcessLookupError):
                worker.send(signal.SIGTERM)
            assert await worker.ended() in (0, 1), worker.log
    agree(await predictions(given), oracle, once=True)
    letters = await consumed(given, given.topics.dead_letters)
    places = [(dict(letter.headers)["partition"], dict(letter.headers)["offset"]) for letter in letters]
    assert len(set(places)) == len(places) == sum(record.value.startswith(b"bad") for record in telemetry)
