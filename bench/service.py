"""The whole service, against bare ``getmany`` of the same topic on the same broker in the same run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.eager import eager
from bench.load import Load, fill
from bench.table import Line, Row, Skipped
from stream.kafka.source import ANSWER_BYTES, FETCH_BYTES, POLL_RECORDS
from stream.kafka.topics import ensure, wanted
from stream.service import Service
from stream.settings import Settings
from tests.kafka.cluster import KafkaNode, kafka_jars, missing_tools

FRAMES = Load(packs=40, cells=96, frames=2000, partitions=4)
PACKED = replace(FRAMES, packed=True)
CELLS = Load(packs=40, cells=96, frames=160, partitions=4, by_cell=True)
LOOK_S = 0.02  # reading the metrics is work, too
ROUNDS = 4


def rows() -> Iterator[Line]:
    """The service on a real Apache Kafka, predictions at a storage site's rate, transactions on."""
    if reason := missing_tools():
        yield Skipped("service", reason)
        return
    cells = FRAMES.cells
    bare, ours = asyncio.run(compare(FRAMES))
    core, clock = "bare getmany, a core's second", "bare getmany, by the clock"
    yield Row("service, pack frames of 96 cells", "frames", core, bare.core, ours.core, 0.25)
    yield Row("service, their cell samples", "cell samples", core, bare.core * cells, ours.core * cells, None, 8e6)
    yield Row("service, pack frames, by the clock", "frames", clock, bare.clock, ours.clock)
    bare, ours = asyncio.run(compare(PACKED))
    yield Row("service, the same in msgpack, float32", "frames", core, bare.core, ours.core)
    yield Row("service, the same, their cell samples", "cell samples", core, bare.core * cells, ours.core * cells)
    bare, ours = asyncio.run(compare(CELLS))
    yield Row("service, a JSON record a cell", "records", core, bare.core, ours.core, 0.45, 0.4e6)
    yield Row("service, a record a cell, by the clock", "records", clock, bare.clock, ours.clock)


class Rate(NamedTuple):
    """Records per second of CPU time, that of all threads of the process, and by the clock on the wall."""

    core: float
    clock: float


class Stopwatch:
    """Runs from where it is made."""

    def __init__(self) -> None:
        self._core_s, self._clock_s = time.process_time(), time.perf_counter()

    def rate(self, records: float) -> Rate:
        """Of so many records since then."""
        return Rate(records / (time.process_time() - self._core_s), records / (time.perf_counter() - self._clock_s))


async def compare(load: Load, rounds: int = ROUNDS) -> tuple[Rate, Rate]:
    """Bare ``getmany`` and the service: the best of rounds in turn, of which the first is not counted."""
    async with broker() as bootstrap:
        settings = service_settings(bootstrap, load)
        await ensure(settings, wanted(settings))
        await fill(bootstrap, settings.topics.telemetry, load)
        bare, ours = [], []
        for turn in range(rounds):
            bare.append(await bare_rate(settings, load))
            ours.append(await service_rate(anew(settings, f"bench-{turn}"), load))
        return _best(bare[1:]), _best(ours[1:])


def anew(settings: Settings, name: str) -> Settings:
    """The same for a deployment that has read nothing: a group and a state topic, where that is noted, of its own."""
    return settings.model_copy(update={"app": name, "kafka": settings.kafka.model_copy(update={"group": name})})


def _best(rates: Sequence[Rate]) -> Rate:
    return Rate(max(rate.core for rate in rates), max(rate.clock for rate in rates))


@asynccontextmanager
async def broker() -> AsyncIterator[str]:
    """A Kafka of one node; its address."""
    with tempfile.TemporaryDirectory() as folder:
        async with KafkaNode(Path(folder), kafka_jars()) as node:
            yield node.bootstrap


def service_settings(bootstrap: str, load: Load) -> Settings:
    """As shipped, with as many partitions as the load has, and a model that answers every window."""
    return Settings.model_validate(
        {
            "kafka": {"bootstrap": bootstrap},
            "topics": {"partitions": load.partitions},
            "model": {"path": str(eager())},
            "http": {"port": 0},
        }
    )


async def bare_rate(settings: Settings, load: Load) -> Rate:
    """A consumer that does nothing with what it gets."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_bytes=ANSWER_BYTES,
    )
    await consumer.start()
    consumer.assign([TopicPartition(settings.topics.telemetry, number) for number in range(load.partitions)])
    count, watch = 0, Stopwatch()
    while count < load.records:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=POLL_RECORDS)
        count += sum(map(len, fetched.values()))
    rate = watch.rate(count)
    await consumer.stop()
    return rate


async def service_rate(settings: Settings, load: Load, on_first: Callable[[], object] = lambda: None) -> Rate:
    """The service, from the first record taken in, when ``on_first`` is called, to the last prediction committed."""
    service = Service(settings)
    value = service.telemetry.registry.get_sample_value
    running = asyncio.create_task(service.run())
    already, watch = 0.0, Stopwatch()
    while not running.done():
        taken = value("cyclecast_records_total", {"result": "ok"}) or 0.0
        if taken and not already:
            on_first()
            already, watch = taken, Stopwatch()
        if taken == load.records and value("cyclecast_predictions_total") == load.cycles_ended:
            rate = watch.rate(taken - already)
            service.stop()
            await running
            return rate
        await asyncio.sleep(LOOK_S)
    await running
    raise RuntimeError("the service ended before its input did")
