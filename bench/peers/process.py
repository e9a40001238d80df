"""A peer as a process on a core of its own: when it began, when its results were there, what it spent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

START_S = 60.0
LIMIT_S = 60.0
_SCHED = 2  # Linux makes the id of a process's CPU clock out of its number and this

Results = dict[tuple[str, int, int], float | None]


@dataclass
class Process:
    """``async with`` runs it and ends it, whatever it does."""

    command: list[str]
    environment: Mapping[str, str]
    core: int
    ready_url: str | None = None  # where a metric tells of the first record; else it says "started"
    said: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    errors: str = ""

    async def __aenter__(self) -> Self:
        """Starts."""
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.core}),
        )
        self._reading = [asyncio.create_task(self._read_output()), asyncio.create_task(self._read_errors())]
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Kills: what it leaves behind is of no interest."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await asyncio.gather(*self._reading)

    def spent_s(self) -> float:
        """CPU seconds of all its threads so far."""
        return time.clock_gettime(~self._process.pid << 3 | _SCHED)

    async def says(self, limit_s: float) -> str:
        """Its next line. Raises `RuntimeError` with its last words where it ends or takes too long."""
        try:
            async with asyncio.timeout(limit_s):
                line = await self.said.get()
        except TimeoutError:
            raise RuntimeError(f"said nothing for {limit_s:g} s: {self.last_words()}") from None
        if not line:
            raise RuntimeError(f"ended: {self.last_words()}")
        return line

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        return self.errors.strip()[-600:] or "(nothing)"

    async def _read_output(self) -> None:
        assert self._process.stdout is not None
        if self.ready_url is not None:
            await asyncio.to_thread(self._watch, self.ready_url)
            self.said.put_nowait("started")
        while line := await self._process.stdout.readline():
            self.said.put_nowait(line.decode().strip())
        self.said.put_nowait("")

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.errors = (self.errors + line.decode(errors="replace"))[-4000:]

    def _watch(self, url: str) -> None:
        while self._process.returncode is None:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                with urllib.request.urlopen(url, timeout=5) as page:
                    taken = [line for line in page.read().decode().splitlines() if line.startswith(_TAKEN)]
                if any(float(line.split()[-1]) > 0 for line in taken):
                    return
            time.sleep(0.005)


_TAKEN = 'cyclecast_records_total{result="ok"}'


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a peer did: the share of results that were there within the limit, and in how long."""

    seconds: float
    core_s: float
    share: float
    results: Results


async def outcome(process: Process, bootstrap: str, topic: str, expected: int) -> Outcome:
    """From its first record to its last prediction, as a reader of committed records sees it."""
    async with _reader(bootstrap, topic) as consumer:
        while not (await process.says(START_S)).endswith("started"):  # some draw before it in the same line
            pass
        began_s, spent_s = time.perf_counter(), process.spent_s()
        results: Results = {}
        ended_s, core_s = began_s, 0.0
        while len(results) < expected and time.perf_counter() - began_s < LIMIT_S:
            for records in (await consumer.getmany(timeout_ms=20)).values():
                for record in records:
                    value = msgspec.json.decode(record.value)
                    soh = value.get("soh")
                    results[value["pack_id"], value["cell"], value["step"]] = soh and soh["p50"]
            ended_s, core_s = time.perf_counter(), process.spent_s() - spent_s
        return Outcome(ended_s - began_s, core_s, len(results) / expected, results)


@asynccontextmanager
async def _reader(bootstrap: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    try:
        while not (partitions := consumer.partitions_for_topic(topic)):
            await consumer._client.force_metadata_update()
            await asyncio.sleep(0.05)
        consumer.assign([TopicPartition(topic, number) for number in partitions])
        yield consumer
    finally:
        await consumer.stop()
