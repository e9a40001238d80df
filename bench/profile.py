"""``python -m bench.profile``: flame graphs of the service at full load, into ``bench/profiles``. Needs py-spy."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from bench.load import Load, fill
from bench.service import CELLS, FRAMES, broker, service_rate, service_settings
from stream.kafka.topics import ensure, wanted
from stream.logs import configure_logs

FOLDER = Path(__file__).parent / "profiles"
LOADS = {"pack-frames": replace(FRAMES, frames=6000), "cell-records": replace(CELLS, frames=500)}
SAMPLES_A_SECOND = 250


def main() -> None:
    """One SVG a load, by function: a line of code each would make it ten times as large."""
    if shutil.which("py-spy") is None:
        sys.exit("py-spy is not here: pip install py-spy")
    torch.set_num_threads(1)
    configure_logs("error", console=True)
    logging.disable(logging.ERROR)
    for name, load in LOADS.items():
        path = FOLDER / f"{name}.svg"
        asyncio.run(_profiled(load, path))
        print(f"written to {path}")


async def _profiled(load: Load, path: Path) -> None:
    async with broker() as bootstrap:
        settings = service_settings(bootstrap, load)
        await ensure(settings, wanted(settings))
        await fill(bootstrap, settings.topics.telemetry, load)
        command = ["py-spy", "record", "--pid", str(os.getpid()), "--function", "--rate", str(SAMPLES_A_SECOND)]
        watching: list[subprocess.Popen[bytes]] = []

        def watch() -> None:
            watching.append(subprocess.Popen([*command, "--output", path.name], cwd=FOLDER, stdout=subprocess.DEVNULL))

        await service_rate(settings, load, watch)
        for process in watching:
            process.send_signal(signal.SIGINT)
            await asyncio.to_thread(process.wait)


if __name__ == "__main__":
    main()
