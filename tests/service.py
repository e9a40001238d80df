"""The stream service as users run it: a process of its own, with topics and a group of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from stream import faults
from stream.kafka.sink import KafkaSink
from stream.kafka.subscribe import subscribe
from stream.kafka.topics import ensure, wanted
from stream.seams import Message, Record
from stream.settings import Settings

ROOT = Path(__file__).parent.parent
PATIENCE_S = 180.0  # a service may start beside others on a busy machine; how long it takes decides nothing


def settings(
    bootstrap: str, name: str, model: Path, *, session_timeout_ms: int = 10_000, replication: int = 1, **more: Any
) -> Settings:
    """Settings whose topics and group begin with ``name``."""
    return Settings.model_validate(
        {
            "app": name,
            "kafka": {"bootstrap": bootstrap, "group": name, "session_timeout_ms": session_timeout_ms},
            "topics": {
                "telemetry": f"{name}.telemetry",
                "predictions": f"{name}.predictions",
                "packs": f"{name}.packs",
                "alerts": f"{name}.alerts",
                "dead_letters": f"{name}.dlq",
                "partitions": 4,
                "replication": replication,
            },
            # Not the precision that each process measures as faster when it starts: the same in all of them.
            "model": {"path": str(model), "precision": "fp32"},
            "commit": {"interval_ms": 50},
            "state": {"page_interval_s": 0.3},
            "http": {"port": 0},
            **more,
        }
    )


def as_environment(settings: Settings) -> dict[str, str]:
    """The settings that differ from their defaults, as environment variables."""
    changed = settings.model_dump(exclude_defaults=True)
    return {
        f"CYCLECAST_{section.upper()}" + (f"__{key.upper()}" if key else ""): str(value)
        for section, keys in changed.items()
        for key, value in (keys.items() if isinstance(keys, dict) else [("", keys)])
    }


class StreamProcess:
    """``cyclecast stream`` with the given settings; ``async with`` ends it if the test did not."""

    def __init__(self, settings: Settings, *arguments: str, fault: str | None = None) -> None:
        self.settings = settings
        self.arguments = arguments
        self.fault = fault
        self.log = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> StreamProcess:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CYCLECAST_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cyclecast",
            "stream",
            *self.arguments,
            cwd=ROOT,
            env={
                **environment,
                **as_environment(self.settings),
                **({faults.VARIABLE: self.fault} if self.fault else {}),
            },
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()
        if kind is not None:
            print(self.log)

    @property
    def pid(self) -> int | None:
        """Process id, ``None`` when it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self, timeout_s: float | None = PATIENCE_S) -> int:
        """The exit code, once it ended; its log is whole then."""
        assert self._process is not None
        assert self._reading is not None
        code = await asyncio.wait_for(self._process.wait(), timeout_s)
        await self._reading
        return code

    async def said(self, event: str, timeout_s: float = PATIENCE_S, times: int = 1) -> None:
        """Waits until the log holds ``event``, so many ``times``."""
        async with asyncio.timeout(timeout_s):
            while self.log.count(event) < times:
                assert self._process is not None
                assert self._process.returncode is None, f"ended with {self._process.returncode}:\n{self.log}"
                await asyncio.sleep(0.02)

    async def get(self, path: str) -> str:
        """What it answers over HTTP."""
        url = re.search(r"http://[\w.:]+", self.log)
        assert url

        def fetched() -> str:
            with urllib.request.urlopen(f"{url[0]}{path}", timeout=PATIENCE_S) as answer:
                return str(answer.read().decode())

        return await asyncio.to_thread(fetched)

    async def metrics(self) -> dict[str, float]:
        """Its own metrics, by name and labels."""
        lines = (line.rpartition(" ") for line in (await self.get("/metrics")).splitlines())
        return {name: float(value) for name, _, value in lines if name.startswith("cyclecast_")}

    async def until_metrics(self, true: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Its metrics, once they are as they should be."""
        async with asyncio.timeout(PATIENCE_S):
            while not true(found := await self.metrics()):  # noqa: ASYNC110 - another process gives no event
                await asyncio.sleep(0.1)
        return found

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.log += line.decode()


async def produce(settings: Settings, records: Iterable[Record], partition_topic: str | None = None) -> None:
    """Sends records to the telemetry topic by key, all acknowledged."""
    await ensure(settings, wanted(settings))
    sink = await KafkaSink.start(settings, patience_s=10)
    topic = partition_topic or settings.topics.telemetry
    try:
        await (await sink.send([Message(topic, record.key, record.value, record.headers) for record in records]))
    finally:
        await sink.stop()


async def consumed(settings: Settings, topic: str) -> list[Any]:
    """All records of a topic (``aiokafka.ConsumerRecord``), until a poll brings nothing."""
    found: list[Any] = []
    stream = subscribe(settings, [topic], "earliest", poll_ms=1000)
    try:
        async for polled in stream:
            if not polled:
                return found
            found += polled
    finally:
        await stream.aclose()
    return found


async def predictions(settings: Settings) -> list[dict[str, Any]]:
    """All published predictions."""
    return [json.loads(record.value) for record in await consumed(settings, settings.topics.predictions)]


async def until_predicted(
    settings: Settings, least: int = 1, *, from_offset: int = 0, timeout_s: float = PATIENCE_S
) -> None:
    """Waits until at least so many predictions are published that records from ``from_offset`` on made due."""
    count = 0
    async with asyncio.timeout(timeout_s):
        stream = subscribe(settings, [settings.topics.predictions], "earliest")
        try:
            async for polled in stream:
                count += sum(json.loads(record.value)["source"]["offset"] >= from_offset for record in polled)
                if count >= least:
                    return
        finally:
            await stream.aclose()


def identities(found: Sequence[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """What names each prediction."""
    return [(prediction["pack_id"], prediction["cell"], prediction["step"]) for prediction in found]
