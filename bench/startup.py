"""From the start of ``cyclecast stream`` to ready, against a Python that only imports what it is made of."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench.load import Load
from bench.service import broker, service_settings
from bench.table import Cost, Line, Skipped
from stream.kafka.topics import ensure, wanted
from tests.kafka.cluster import missing_tools
from tests.service import as_environment

ROUNDS = 3
PATIENCE_S = 60.0
LOOK_S = 0.02
IMPORTS = "import aiokafka, msgspec, numba, numpy, pydantic_settings, torch, starlette, uvicorn"


def rows() -> Iterator[Line]:
    """Compiled code is cached, topics exist: what a pod pays when it comes back."""
    if reason := missing_tools():
        yield Skipped("process start to ready", reason)
        return
    imports, ready = asyncio.run(_measure())
    yield Cost("process start to ready", "s", "imports alone", imports.clock_s, ready.clock_s, None, 5.0)
    yield Cost("the same, CPU time", "s", "imports alone", imports.core_s, ready.core_s)


class Spent(NamedTuple):
    """By the clock, and of CPU time."""

    clock_s: float
    core_s: float


async def _measure() -> tuple[Spent, Spent]:
    async with broker() as bootstrap:
        settings = service_settings(bootstrap, Load(1, 1, 1, partitions=4))
        await ensure(settings, wanted(settings))
        environment = os.environ | as_environment(settings) | {"CYCLECAST_HTTP__PORT": str(free_port())}
        imports, ready = [], []
        for _ in range(ROUNDS):
            imports.append(await asyncio.to_thread(_spent, [sys.executable, "-c", IMPORTS], environment))
            service = [sys.executable, "-m", "cyclecast", "stream"]
            ready.append(await asyncio.to_thread(_spent, service, environment, _until_ready))
        return min(imports), min(ready)


def _spent(
    command: list[str],
    environment: dict[str, str],
    until: Callable[[subprocess.Popen[bytes], dict[str, str]], None] | None = None,
) -> Spent:
    """What a process needed until then, or to its end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    before_s, began = used.ru_utime + used.ru_stime, time.perf_counter()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        if until is None:
            process.wait()
        else:
            until(process, environment)
        clock_s = time.perf_counter() - began
    finally:
        process.kill()
        process.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(clock_s, used.ru_utime + used.ru_stime - before_s)


def _until_ready(process: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{environment['CYCLECAST_HTTP__PORT']}/readyz"
    end_s = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < end_s and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):  # not there yet, or 503
            time.sleep(LOOK_S)
    raise RuntimeError("the service did not become ready")


def free_port() -> int:
    """One that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
