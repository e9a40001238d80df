"""From the record that a gateway sends to the prediction that a subscriber may read, and what transactions cost.

The service is a process of its own, with transactions or, on the same broker, without. Broker, gateway and subscriber
share the machine with it; half of the most means half of what passes with all of them running.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import chain, islice
from typing import NamedTuple

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from numpy.typing import NDArray

from bench.eager import eager
from bench.gateway import Gateway
from bench.load import Load
from bench.member import member
from bench.service import broker
from bench.table import Cost, Line, Skipped
from stream.clock import SystemClock
from stream.kafka.topics import DEFAULT_BYTES, ensure, ensure_state, wanted
from stream.kafka.transactions import ExactlyOnce
from stream.offsets import Ticket
from stream.seams import Message, Partition
from stream.settings import Settings
from stream.telemetry import Telemetry
from tests.kafka.cluster import missing_tools
from tests.service import settings

TRIAL = Load(packs=40, cells=96, frames=1200, partitions=4, frames_a_cycle=240)
SITE = Load(packs=40, cells=96, frames=6000, partitions=4)
MANY = Load(packs=64, cells=1, frames=400, partitions=64, frames_a_cycle=2)
MANY_PER_S = 960.0  # a result of each partition every 130 ms: more than its transactions can be apart
WARM_S, MEASURED_S = 4.0, 15.0
QUIET_MS = 2000
ALONE = 300


class Run(NamedTuple):
    """Latencies from sent to readable; of the service its share of a core, the time of a batch, transactions."""

    latencies_s: list[float]
    share: float
    model_s: float
    transactions_per_s: float

    def ms(self, percentile: float) -> float:
        """A percentile of the latencies."""
        return float(np.percentile(self.latencies_s, percentile)) * 1000


class Source(msgspec.Struct):
    """Where a prediction's record lies."""

    partition: int
    offset: int


class Seen(msgspec.Struct):
    """What of a prediction is read here."""

    source: Source


def rows() -> Iterator[Line]:
    """Latency at half load with and without transactions beside the least there is; processor time of transactions."""
    if reason := missing_tools():
        yield Skipped("delivery", reason)
        return
    yield from asyncio.run(_measure())


async def _measure() -> list[Line]:
    async with broker() as bootstrap:
        bench = Bench(bootstrap)
        most_per_s = await bench.most()
        half = most_per_s / 2
        kafka = await bench.kafka_alone(SITE, half)
        exactly = await bench.run(SITE, half, transactions=True)
        at_least = await bench.run(SITE, half, transactions=False)
        many = await bench.run(MANY, MANY_PER_S, transactions=True)
        without = await bench.run(MANY, MANY_PER_S, transactions=False)
        transaction_s = await bench.transaction_s()
    print(
        f"delivery: {most_per_s:.0f} frames/s pass at most, half of it is fed; 64 partitions: "
        f"{many.transactions_per_s:.0f} transactions/s of {transaction_s * 1000:.2f} ms",
        file=sys.stderr,
    )
    least, none = "Kafka and one batch in the model", "the same without transactions"
    floor = [kafka.ms(percentile) + 1000 * at_least.model_s for percentile in (50, 99)]
    share = many.transactions_per_s * transaction_s
    return [
        Cost("exactly once, sent to readable, p50", "ms", least, floor[0], exactly.ms(50)),
        Cost("exactly once, sent to readable, p99", "ms", least, floor[1], exactly.ms(99), None, 300.0),
        Cost("at least once, sent to readable, p50", "ms", least, floor[0], at_least.ms(50), None, 25.0),
        Cost("at least once, sent to readable, p99", "ms", least, floor[1], at_least.ms(99), None, 150.0),
        Cost("64 partitions, exactly once, p99", "ms", none, without.ms(99), many.ms(99)),
        Cost("64 partitions, the service", "of a core", none, without.share, many.share),
        Cost("64 partitions, their transactions", "of a core", "the service", many.share, share, None, 0.15),
    ]


class Bench:
    """Runs on one broker, each on topics of its own."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._runs = 0

    async def most(self) -> float:
        """Frames per second, from the first that is sent to the last whose prediction is readable."""
        given = await self._prepared(TRIAL)
        async with member(given, transactions=True), self._gateway(given, TRIAL, TRIAL.records) as gateway:
            sending = asyncio.create_task(gateway.send(1e9))
            began_s = time.perf_counter()
            await self._latencies(given.topics.predictions, gateway, sending, count=TRIAL.cycles_ended)
            return TRIAL.records / (time.perf_counter() - began_s)

    async def run(self, load: Load, per_s: float, *, transactions: bool) -> Run:
        """A load at a rate; what is told of it begins after a while of warming."""
        given = await self._prepared(load)
        count = int(per_s * (WARM_S + MEASURED_S))
        async with (
            member(given, transactions=transactions) as service,
            self._gateway(given, load, count) as gateway,
        ):

            async def look() -> NDArray[np.float64]:
                names = ("predict_seconds_sum", "predict_seconds_count", 'transactions_total{result="committed"}')
                told = [await service.metric(f"cyclecast_{name}") for name in names]
                return np.array([time.perf_counter(), service.cpu_s(), *told])

            sending = asyncio.create_task(gateway.send(per_s))
            from_s = time.perf_counter() + WARM_S
            reading = asyncio.create_task(self._latencies(given.topics.predictions, gateway, sending, from_s=from_s))
            await asyncio.sleep(WARM_S)
            before = await look()
            await sending
            seconds, cpu_s, model_s, batches, committed = await look() - before
            return Run(await reading, cpu_s / seconds, model_s / max(batches, 1), committed / seconds)

    async def kafka_alone(self, load: Load, per_s: float) -> Run:
        """The records themselves, to a subscriber of the telemetry."""
        given = await self._prepared(load)
        async with self._gateway(given, load, int(per_s * WARM_S)) as gateway:
            sending = asyncio.create_task(gateway.send(per_s))
            return Run(await self._latencies(given.topics.telemetry, gateway, sending), 0.0, 0.0, 0.0)

    async def transaction_s(self) -> float:
        """Processor time of a transaction with the results of one frame, sent by nothing but the outlet."""
        given = await self._prepared(MANY)
        await ensure_state(given)
        partition = Partition(given.topics.telemetry, 0)
        outlet = ExactlyOnce(given, Telemetry(), SystemClock(), letter_bytes=DEFAULT_BYTES)
        working = asyncio.create_task(outlet.run())
        await outlet.open(partition)
        messages = [Message(given.topics.predictions, b"P/%d" % cell, bytes(400)) for cell in range(MANY.cells)]
        began_s = time.process_time()
        for offset in range(ALONE):
            ticket = Ticket(offset + 1)
            ticket.done(messages)
            await outlet.publish(partition, [ticket])
            await asyncio.wait([working, asyncio.create_task(outlet.flush())], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()  # raises what ended it
        spent_s = time.process_time() - began_s
        working.cancel()
        await asyncio.wait([working])
        return spent_s / ALONE

    async def _prepared(self, load: Load) -> Settings:
        """Settings as shipped, with topics of their own, which are there."""
        self._runs += 1
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            http = {"port": probe.getsockname()[1]}
        name = f"bench-{self._runs}"
        given = settings(self._bootstrap, name, eager(), commit={}, http=http)
        topics = given.topics.model_copy(update={"partitions": load.partitions})
        given = given.model_copy(update={"topics": topics, "state": Settings().state})
        await ensure(given, wanted(given))
        return given

    @asynccontextmanager
    async def _gateway(self, given: Settings, load: Load, most: int) -> AsyncIterator[Gateway]:
        records = list(islice(load.sent(), most))
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, max_batch_size=256 * 1024) as producer:
            yield Gateway(producer, given.topics.telemetry, load.partitions, records)

    async def _latencies(
        self,
        topic: str,
        gateway: Gateway,
        sending: asyncio.Task[None],
        *,
        from_s: float = 0.0,
        count: int = sys.maxsize,
    ) -> list[float]:
        """From sent to read, of records sent after ``from_s`` or of their predictions: so many, or all that come."""
        decode = msgspec.json.Decoder(Seen).decode
        found: list[float] = []
        async with AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
        ) as consumer:
            consumer.assign([TopicPartition(topic, number) for number in range(len(gateway.sent_s))])
            while len(found) < count:
                fetched = await consumer.getmany(timeout_ms=QUIET_MS)
                now_s = time.perf_counter()
                for record in chain.from_iterable(fetched.values()):
                    at = record if topic == gateway.topic else decode(record.value).source
                    sent_s = gateway.sent_s[at.partition][at.offset]
                    if sent_s >= from_s:
                        found.append(now_s - sent_s)
                if not fetched and sending.done():
                    break
        await sending
        return found
