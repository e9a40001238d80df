"""``cyclecast board``: a page over what any stream published."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import urllib.request
from typing import Any

import msgspec

from stream.kafka.sink import KafkaSink
from stream.kafka.topics import ensure, wanted
from stream.seams import Message
from tests.alerts import alert
from tests.service import ROOT, as_environment, settings


def fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.loads(answer.read())


async def test_board_shows_what_the_topic_holds_and_what_comes(kafka, topic, tmp_path):
    given = settings(kafka.bootstrap, topic, tmp_path)
    await ensure(given, wanted(given))
    sink = await KafkaSink.start(given)

    async def publish(cell: int) -> None:
        soh = {"p05": 0.9, "p50": 0.92, "p95": 0.94}
        origin = {"topic": "t", "partition": 0, "offset": 1}
        told = {"v": 1, "pack_id": "P1", "cell": cell, "t_ms": 1, "step": 5, "flags": [], "model": "m@1", "soh": soh}
        value = json.dumps({**told, "source": origin}).encode()
        await (await sink.send([Message(given.topics.predictions, b"P1/0", value)]))

    await publish(0)
    await (await sink.send([Message(given.topics.alerts, b"P1", msgspec.json.encode(alert("P1", 0)))]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cyclecast", "board", "--port", "0"),
        cwd=ROOT,
        env={**os.environ, **as_environment(given)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        said = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        found = re.search(r"http://\S+", said)
        assert found, said
        async with asyncio.timeout(30):
            for cell in (0, 1):
                while True:
                    fleet = await asyncio.to_thread(fetched, f"{found[0]}/api/fleet")
                    if fleet["summary"]["cells"] == cell + 1 and fleet["alerts"]["standing"] == {"outlier": 1}:
                        break
                    await asyncio.sleep(0.1)
                await publish(1)
        assert (await asyncio.to_thread(fetched, f"{found[0]}/readyz"))["ok"] is True
    finally:
        process.terminate()
        await process.wait()
        await sink.stop()
