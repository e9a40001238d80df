"""``cyclecast board``: a page over what any stream published."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from stream.kafka.sink import KafkaSink
from stream.kafka.topics import ensure, wanted
from stream.seams import Message
from stream.settings import Settings
from tests.alerts import alert
from tests.predictions import predict
from tests.service import PATIENCE_S, ROOT, as_environment, settings


class Page:
    """The page of a running ``cyclecast board``, and what its process says on stderr."""

    def __init__(self, url: str, errors: asyncio.StreamReader) -> None:
        self.url = url
        self._errors = errors

    async def get(self, path: str) -> Any:
        """The JSON at a path, whatever the status."""

        def fetched() -> Any:
            try:
                with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                return json.loads(error.read())

        return await asyncio.to_thread(fetched)

    async def shows(self, path: str, what: Callable[[Any], bool]) -> Any:
        """Waits until the JSON at a path is as wanted, and returns it."""
        async with asyncio.timeout(PATIENCE_S):
            while not what(found := await self.get(path)):  # noqa: ASYNC110 - a page gives no event
                await asyncio.sleep(0.1)
            return found

    async def says(self) -> str:
        """The next line on stderr."""
        return (await asyncio.wait_for(self._errors.readline(), PATIENCE_S)).decode()


@asynccontextmanager
async def board_of(given: Settings) -> AsyncIterator[Page]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cyclecast", "board", "--port", "0"),
        cwd=ROOT,
        env={**os.environ, **as_environment(given)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        found = re.search(r"http://\S+", said)
        assert found, said
        yield Page(found[0], process.stderr)
        assert process.returncode is None
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def publish(sink: KafkaSink, topic: str, record: msgspec.Struct) -> None:
    await (await sink.send([Message(topic, b"P1", msgspec.json.encode(record))]))


def cells(fleet: Any) -> int:
    return int(fleet["summary"]["cells"])


async def test_board_shows_what_the_topic_holds_and_what_comes(kafka, topic, tmp_path):
    given = settings(kafka.bootstrap, topic, tmp_path)
    await ensure(given, wanted(given))
    sink = await KafkaSink.start(given)
    await publish(sink, given.topics.predictions, predict(cell=0))
    await publish(sink, given.topics.alerts, alert("P1", 0))
    async with board_of(given) as page:
        await page.shows("/api/fleet", lambda fleet: cells(fleet) == 1 and fleet["alerts"]["standing"])
        await publish(sink, given.topics.predictions, predict(cell=1))
        fleet = await page.shows("/api/fleet", lambda fleet: cells(fleet) == 2)
        assert fleet["alerts"]["standing"] == {"outlier": 1}
        assert (await page.get("/readyz"))["ok"] is True
    await sink.stop()


async def test_board_waits_for_topics_that_are_not_there_yet_and_says_so(embedded_broker, topic, tmp_path):
    given = settings(embedded_broker.bootstrap, topic, tmp_path)
    predictions, alerts = given.topics.predictions, given.topics.alerts
    topics = {each.name: each for each in wanted(given)}
    async with board_of(given) as page:
        said = {await page.says(), await page.says()}
        assert {line.split()[0] for line in said} == {predictions, alerts}
        assert all("does not exist" in line for line in said)
        waiting = await page.get("/readyz")
        assert waiting["ok"] is False
        assert "`cyclecast stream` creates it" in waiting["parts"][predictions]["detail"]
        assert (await page.get("/healthz"))["ok"] is True

        await ensure(given, [topics[predictions]])
        sink = await KafkaSink.start(given)
        await publish(sink, predictions, predict(cell=0))
        fleet = await page.shows("/api/fleet", lambda fleet: cells(fleet) == 1)
        assert fleet["alerts"] is None
        assert (await page.get("/readyz"))["ok"] is True

        await ensure(given, [topics[alerts]])
        await publish(sink, alerts, alert("P1", 0))
        fleet = await page.shows("/api/fleet", lambda fleet: fleet["alerts"] and fleet["alerts"]["standing"])
        assert fleet["alerts"]["standing"] == {"outlier": 1}
        await sink.stop()


async def test_a_record_that_the_board_cannot_read_is_said_and_ends_nothing(embedded_broker, topic, tmp_path):
    given = settings(embedded_broker.bootstrap, topic, tmp_path)
    await ensure(given, wanted(given))
    sink = await KafkaSink.start(given)
    await (
        await sink.send([Message(given.topics.alerts, b"P1", b"{}"), Message(given.topics.predictions, b"P1", b"{}")])
    )
    await publish(sink, given.topics.predictions, predict(cell=0))
    async with board_of(given) as page:
        said = {await page.says(), await page.says()}
        assert {line.split()[0] for line in said} == {given.topics.predictions, given.topics.alerts}
        await page.shows("/api/fleet", lambda fleet: cells(fleet) == 1)
    await sink.stop()


async def test_a_board_whose_broker_is_away_is_alive_however_long_it_waits(topic, tmp_path):
    async with board_of(settings("127.0.0.1:1", topic, tmp_path)) as page:
        assert await page.get("/healthz") == {"ok": True, "parts": {}}
        assert (await page.get("/readyz"))["ok"] is False
