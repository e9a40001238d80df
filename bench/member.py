"""The service as a process of its own, whose processor time and metrics can be read from outside."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from unittest.mock import AsyncMock, patch

from stream.logs import configure_logs
from stream.service import run_service
from stream.settings import Settings
from tests.service import ROOT, as_environment

START_S = 120.0
WITHOUT = "--without-transactions"


class Member:
    """A running member of the group."""

    def __init__(self, pid: int, url: str) -> None:
        self._pid = pid
        self._url = url

    def cpu_s(self) -> float:
        """What it has taken of the processor, in user and system mode."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def metric(self, series: str) -> float:
        """The value of a series, zero where it is not there yet."""
        text = await asyncio.to_thread(_get, f"{self._url}/metrics")
        found = re.search(rf"^{re.escape(series)} (.*)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@asynccontextmanager
async def member(given: Settings, *, transactions: bool) -> AsyncIterator[Member]:
    """Starts it, with transactions or as on a broker that has none; ready, it is handed over, and ended after that."""
    url = f"http://127.0.0.1:{given.http.port}"
    command = [sys.executable, "-m", "bench.member", *([] if transactions else [WITHOUT])]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ | as_environment(given))
    try:
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(_get, f"{url}/readyz"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        yield Member(process.pid, url)
    finally:
        process.terminate()
        await process.wait()


def _get(url: str) -> str:
    """The body; nothing where it does not answer, or does not answer well."""
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
        return str(response.read().decode())
    return ""


def main() -> None:
    """The service as the environment says, and without transactions if told so."""
    configure_logs("error")
    none = patch("stream.service.has_transactions", AsyncMock(return_value=False))
    with none if WITHOUT in sys.argv else nullcontext():
        asyncio.run(run_service(Settings.load(env=os.environ)))


if __name__ == "__main__":
    main()
