"""A consumer that silently stopped fails ``/healthz``; one that has nothing to read, or no broker, does not."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest
from aiokafka import AIOKafkaProducer

from stream.clock import SystemClock
from stream.health import Health
from stream.http import HttpServer, service_app
from stream.kafka import watchdog
from stream.kafka.source import KafkaSource
from stream.kafka.topics import ensure, wanted
from stream.kafka.watchdog import HEARTBEAT, Watchdog
from stream.settings import Settings
from stream.telemetry import Telemetry
from tests.holder import NoState
from tests.kafka.cluster import KafkaNode, kafka_jars, missing_tools
from tests.service import produce, settings
from tests.telemetry import records

LOOK_S, BUDGET_S = 0.3, 1.5
TELEMETRY = records(["P1", "P2"], 50, 2)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOK_S", LOOK_S)
    monkeypatch.setattr(watchdog, "BUDGET_S", BUDGET_S)


class Reader(NoState):
    """Reads a source for nothing, watched, and says over HTTP whether it lives."""

    def __init__(self, given: Settings) -> None:
        self.given = given
        self.telemetry = Telemetry()
        self.health = Health(SystemClock())
        self.read = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[KafkaSource]:
        self.health.expect("loop", 60)
        source = await KafkaSource.start(self.given, self.telemetry, self.health, SystemClock())
        app = service_app(self.telemetry, self.health, board=None)
        tasks = [
            asyncio.create_task(self._follow(source)),
            asyncio.create_task(Watchdog(self.given, self.health, source.progress).run()),
        ]
        try:
            async with HttpServer(app, "127.0.0.1", 0) as server:
                self._url = server.url
                yield source
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await source.stop()

    async def probe(self) -> tuple[int, dict[str, dict[str, object]]]:
        """The status and the parts that ``/healthz`` answers."""

        def ask() -> tuple[int, bytes]:
            try:
                with urllib.request.urlopen(f"{self._url}/healthz", timeout=10) as response:
                    return response.status, response.read()
            except HTTPError as error:
                return error.code, error.read()

        status, body = await asyncio.to_thread(ask)
        return status, json.loads(body)["parts"]

    async def until_read(self, count: int) -> None:
        async with asyncio.timeout(30):
            while self.read < count or HEARTBEAT not in self.health.alive().parts:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _follow(self, source: KafkaSource) -> None:
        async for polled in source.poll(self):
            self.read += len(polled.records) if polled else 0


async def test_consumer_whose_fetcher_stopped_fails_healthz_and_is_named(kafka, topic, caplog):
    reader = Reader(settings(kafka.bootstrap, topic, Path("unused")))
    await produce(reader.given, TELEMETRY)
    async with reader.running() as source:
        await reader.until_read(len(TELEMETRY))
        fetching = source._consumer._fetcher._fetch_task
        fetching.cancel()
        await asyncio.wait([fetching])
        await asyncio.sleep(BUDGET_S + 3 * LOOK_S)
        assert (await reader.probe())[0] == 200, "nothing is waiting for it"
        await produce(reader.given, TELEMETRY)
        async with asyncio.timeout(30):
            while (answer := await reader.probe())[0] == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        status, parts = answer
        assert status == 503
        assert [name for name, part in parts.items() if not part["ok"]] == [HEARTBEAT]
        assert reader.read == len(TELEMETRY)


async def test_healthz_stays_well_while_the_broker_is_away(topic, tmp_path):
    if reason := missing_tools():
        pytest.skip(f"Apache Kafka cannot run here: {reason}")
    async with KafkaNode(tmp_path, kafka_jars()) as node:
        reader = Reader(settings(node.bootstrap, topic, Path("unused")))
        await produce(reader.given, TELEMETRY)
        async with reader.running():
            await reader.until_read(len(TELEMETRY))
            node.kill()
            for _ in range(10):
                await asyncio.sleep(BUDGET_S / 4)
                assert (await reader.probe())[0] == 200


async def test_records_that_no_reader_may_see_yet_are_not_waited_for(kafka, topic):
    reader = Reader(settings(kafka.bootstrap, topic, Path("unused")))
    await ensure(reader.given, wanted(reader.given))
    sent = {"topic": reader.given.topics.telemetry, "value": b"{}", "partition": 1}
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{topic}-input") as producer,
        reader.running(),
    ):
        async with producer.transaction():
            await producer.send_and_wait(**sent)
        await reader.until_read(1)  # the log goes on with a marker that is no record
        await producer.begin_transaction()
        await producer.send_and_wait(**sent)  # and with a record that is not committed
        for _ in range(6):
            await asyncio.sleep(BUDGET_S / 4)
            assert (await reader.probe())[0] == 200
        await producer.commit_transaction()
        await reader.until_read(2)
