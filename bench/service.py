"""The whole service on pack frames, against bare ``getmany`` of the same topic on the same broker in the same run."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.table import Row
from stream.kafka.sink import KafkaSink
from stream.kafka.source import FETCH_BYTES, POLL_RECORDS
from stream.kafka.topics import ensure, wanted
from stream.seams import Message
from stream.service import Service
from stream.settings import Settings
from tests.kafka.cluster import KafkaNode, kafka_jars, missing_tools

PACKS, CELLS, FRAMES = 40, 96, 2000
FRAMES_A_CYCLE = 4320  # a storage site that is charged and drawn twice a day, seen every ten seconds
LOOK_S = 0.02  # reading the metrics is work, too
PARTITIONS = 4
ROUNDS = 3


def rows() -> Iterator[Row]:
    """The service on a real Apache Kafka; the bar is 10 % of bare ``getmany``."""
    if reason := missing_tools():
        print(f"the service benchmark is left out: {reason}")
        return
    bare, ours = asyncio.run(_measure())
    yield Row("service, pack frames of 96 cells", "frames", "bare getmany", bare, ours, bar_ratio=0.10)
    yield Row("service, the same in cell samples", "cell samples", "bare getmany", bare * CELLS, ours * CELLS)


def _at(pack: int, frame: int) -> int:
    """Where a pack stands in its duty: no two at the same place."""
    return frame + pack * FRAMES_A_CYCLE // PACKS


def _due() -> int:
    """Predictions that the input makes due: one a cell for each cycle that ends in it."""
    ends = sum(_at(pack, FRAMES - 1) // FRAMES_A_CYCLE - _at(pack, 0) // FRAMES_A_CYCLE for pack in range(PACKS))
    return ends * CELLS


async def _measure() -> tuple[float, float]:
    async with _broker() as bootstrap:
        settings = Settings.model_validate(
            {"kafka": {"bootstrap": bootstrap}, "topics": {"partitions": PARTITIONS}, "http": {"port": 0}}
        )
        await _fill(settings)
        bare, ours = [], []
        for turn in range(ROUNDS):
            bare.append(await _bare(settings))
            group = settings.kafka.model_copy(update={"group": f"bench-{turn}"})
            ours.append(await _service(settings.model_copy(update={"kafka": group})))
        return max(bare), max(ours)


@asynccontextmanager
async def _broker() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        async with KafkaNode(Path(folder), kafka_jars()) as node:
            yield node.bootstrap


async def _fill(settings: Settings) -> None:
    await ensure(settings, wanted(settings))
    sink = await KafkaSink.start(settings)
    rng = np.random.default_rng(0)
    for frame in range(FRAMES):
        messages = []
        for pack in range(PACKS):
            cycle, at = divmod(_at(pack, frame), FRAMES_A_CYCLE)
            phase = 2 * np.pi * at / FRAMES_A_CYCLE
            volts = 3.6 + 0.4 * np.sin(phase) + rng.normal(0, 0.003, CELLS)
            record = {
                "v": 1,
                "kind": "pack",
                "pack_id": f"P{pack}",
                "t_ms": 1_700_000_000_000 + frame * 10_000,
                "current_a": round(float(20 * np.cos(phase)), 2),
                "voltage_v": volts.round(3).tolist(),
                "temp_degc": [25.1, 25.4, 25.2, 24.9],
                "cycle": cycle,
                "nominal_capacity_ah": 50.0,
            }
            messages.append(
                Message(
                    settings.topics.telemetry, f"P{pack}".encode(), json.dumps(record, separators=(",", ":")).encode()
                )
            )
        await (await sink.send(messages))
    await sink.stop()


async def _bare(settings: Settings) -> float:
    """Frames per second of a consumer that does nothing with them."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=16 * FETCH_BYTES,
    )
    await consumer.start()
    consumer.assign([TopicPartition(settings.topics.telemetry, number) for number in range(PARTITIONS)])
    count, began = 0, time.perf_counter()
    while count < PACKS * FRAMES:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=POLL_RECORDS)
        count += sum(map(len, fetched.values()))
    seconds = time.perf_counter() - began
    await consumer.stop()
    return count / seconds


async def _service(settings: Settings) -> float:
    """Frames per second of the service, from the first record taken in to the last prediction acknowledged."""
    service = Service(settings)
    value = service.telemetry.registry.get_sample_value
    running = asyncio.create_task(service.run())
    predictions = _due()
    began = 0.0
    while not running.done():
        taken = value("cyclecast_records_total", {"result": "ok"}) or 0
        if taken and not began:
            began, already = time.perf_counter(), taken
        if taken == PACKS * FRAMES and value("cyclecast_predictions_total") == predictions:
            rate = (PACKS * FRAMES - already) / (time.perf_counter() - began)
            service.stop()
            await running
            return rate
        await asyncio.sleep(LOOK_S)
    await running
    raise RuntimeError("the service ended before its input did")
