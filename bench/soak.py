"""``python -m bench.soak``: half of what this machine can do, for long, with a kill every minute.

Two pods of one group; one lives through it all, and its memory is watched. The other is killed every minute and started
again. In the end what was readable has to be what an undisturbed run gives: the stage of ``tests/chaos`` sees to that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from bench.load import Load
from model.schema import CycleSteps
from stream.logs import configure_logs
from stream.seams import Record
from tests.chaos.pod import Pod
from tests.chaos.report import Run
from tests.chaos.stage import Stage
from tests.kafka.cluster import KafkaNode, kafka_jars
from tests.oracle import clean_run
from tests.service import settings
from tests.telemetry import artifact

PACKS, CELLS, PARTITIONS = 20, 96, 4
FRAMES_A_CYCLE, WINDOW = 1440, 8  # windows are full, and memory is what it will be, after a few minutes
TRIAL_FRAMES = 5 * FRAMES_A_CYCLE
KILL_S, LOOK_S = 60.0, 10.0
PAGE_INTERVAL_S = 30.0  # so much telemetry a pod reads again after a kill: it has a minute until the next
SETTLED_S, AROUND_S = 300.0, 60.0
GOAL_GROWTH = 0.02
BARS = "▁▂▃▄▅▆▇█"
FOLDER = Path(__file__).parent
HEADING = """# Soak

`python -m bench.soak --minutes {minutes:g} --keep`: one Apache Kafka and two pods on one machine. Half of the most
that passes is fed, one pod is killed every minute and started again, and the memory of the other is watched. In the end
what was readable is held against an undisturbed run over the same telemetry. Every look is in `soak.json`.

"""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment: resident memory of the pod that lives on, and how much was readable."""

    at_s: float
    rss_mb: float
    predictions: int


@dataclass(frozen=True, slots=True)
class Soak:
    """What came of it."""

    minutes: float
    most_per_s: float
    fed_per_s: float
    run: Run
    looks: list[Look]

    def rss_mb(self, around_s: float) -> float:
        """The median of a minute's looks to each side."""
        return statistics.median(look.rss_mb for look in self.looks if abs(look.at_s - around_s) <= AROUND_S)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What to tell of it."""
        run, end_s = self.run, self.looks[-1].at_s
        early, late = self.rss_mb(min(SETTLED_S, end_s / 2)), self.rss_mb(end_s)
        growth = late / early - 1
        return [
            ("time", f"{self.minutes:g} min, {run.faults} kills, {run.restarts} restarts"),
            (
                "most this machine can do (feeder, broker, two pods)",
                f"{self.most_per_s:,.0f} frames/s of {CELLS} cells",
            ),
            ("fed", f"{self.fed_per_s:,.0f} frames/s ({self.fed_per_s / self.most_per_s:.0%})"),
            ("records in, predictions out", f"{run.records:,}, {run.predictions:,}"),
            ("duplicates, missing, wrong", f"{run.duplicates}, {run.missing}, {run.wrong}"),
            ("longest time without a new prediction while one was due", f"{run.stall_s:.1f} s"),
            (f"memory of the pod that lived, at {min(SETTLED_S, end_s / 2) / 60:.1f} min", f"{early:.1f} MB"),
            ("at the end", f"{late:.1f} MB"),
            ("growth", f"{growth:+.2%} ({'met' if growth < GOAL_GROWTH else 'missed'}: below {GOAL_GROWTH:.0%})"),
            ("memory over time", f"`{self.plot}` {self._least:.0f} to {self._most:.0f} MB"),
        ]

    @property
    def plot(self) -> str:
        """Memory over time, in at most 60 bars."""
        thinned = self.looks[:: -(-len(self.looks) // 60)]
        scale = (len(BARS) - 1) / max(self._most - self._least, 1e-9)
        return "".join(BARS[round((look.rss_mb - self._least) * scale)] for look in thinned)

    @property
    def _least(self) -> float:
        return min(look.rss_mb for look in self.looks)

    @property
    def _most(self) -> float:
        return max(look.rss_mb for look in self.looks)


class Site:
    """A load as records: made while they are read, the same each time."""

    def __init__(self, frames: int) -> None:
        self.load = Load(PACKS, CELLS, frames, PARTITIONS, frames_a_cycle=FRAMES_A_CYCLE)

    def __len__(self) -> int:
        """All records."""
        return self.load.records

    def __iter__(self) -> Iterator[Record]:
        """From the first on."""
        for offset, sent in enumerate(self.load.sent()):
            yield Record(offset, 0, sent.key, sent.value)

    def due(self) -> list[int]:
        """The record that makes each prediction due: the first of a cycle, one for each cell."""
        load = self.load
        first = (
            frame * PACKS + pack
            for frame in range(1, load.frames)
            for pack in range(PACKS)
            if (frame + pack * FRAMES_A_CYCLE // PACKS) % FRAMES_A_CYCLE == 0
        )
        return [offset for offset in first for _ in range(CELLS)]


async def soak(minutes: float) -> Soak:
    """Measures the most, then feeds half of it for so long."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        artifact(model, CycleSteps(window=WINDOW))
        async with KafkaNode(Path(folder), kafka_jars()) as node:
            most_per_s = await _most(node, model)
            print(f"most: {most_per_s:,.0f} frames/s")
            return await _half(node, model, most_per_s, minutes)


async def _most(node: KafkaNode, model: Path) -> float:
    """Records per second that pass when as many are fed as can be."""
    async with _stage("trial", node, model, Site(TRIAL_FRAMES)) as stage:
        stage.pods(None, None)
        await stage.feed(1, share=1)
        begin_s, ahead = time.monotonic(), stage.sent
        await stage.fed()
        rate = (stage.records - ahead) / (await stage.readable() - begin_s)
        await stage.agrees()
        return rate


async def _half(node: KafkaNode, model: Path, most_per_s: float, minutes: float) -> Soak:
    """Feeds half of the most, and kills one of two pods every minute."""
    telemetry = Site(round(most_per_s / 2 * minutes * 60 / PACKS))
    looks: list[Look] = []
    async with _stage("soak", node, model, telemetry) as stage:
        lives, dies = stage.pods(None, None)
        await stage.feed(minutes * 60, share=1)
        looking = asyncio.create_task(_look(lives, stage, looks))
        for _ in range(int(minutes * 60 // KILL_S) - 1):
            await asyncio.sleep(KILL_S)
            stage.kill(dies)
            await stage.progress()
        await stage.fed()
        await stage.readable()
        looking.cancel()
        await stage.agrees()
        return Soak(minutes, most_per_s, len(telemetry) / minutes / 60, stage.result(), looks)


@asynccontextmanager
async def _stage(app: str, node: KafkaNode, model: Path, telemetry: Site) -> AsyncIterator[Stage]:
    """A stage for the telemetry. What an undisturbed run makes of it, a process finds out meanwhile that yields."""
    given = settings(node.bootstrap, app, model, session_timeout_ms=6000, state={"page_interval_s": PAGE_INTERVAL_S})
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=_yield) as apart:
        oracle = asyncio.get_running_loop().run_in_executor(apart, clean_run, model, telemetry)
        stage = Stage(app, 0, given, telemetry, telemetry.due(), oracle, once=True)
        try:
            await stage.open()
            yield stage
        finally:
            await stage.close()


def _yield() -> None:
    os.nice(5)
    torch.set_num_threads(1)
    configure_logs("error", console=True)


async def _look(pod: Pod, stage: Stage, looks: list[Look]) -> None:
    """Notes what there is to see, every ten seconds."""
    begin_s = time.monotonic()
    while True:
        await asyncio.sleep(LOOK_S)
        assert pod.pid is not None
        looks.append(Look(time.monotonic() - begin_s, _rss_mb(pod.pid), stage.onlooker.seen))


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def main() -> None:
    """Runs it, prints what came of it, and keeps it if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--keep", action="store_true", help="write soak.md and soak.json beside this file")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    configure_logs("error", console=True)
    logging.disable(logging.ERROR)
    done = asyncio.run(soak(asked.minutes))
    told = "| what | |\n|---|---|\n" + "".join(f"| {what} | {value} |\n" for what, value in done.rows)
    print(told)
    if asked.keep:
        (FOLDER / "soak.md").write_text(HEADING.format(minutes=asked.minutes) + told)
        (FOLDER / "soak.json").write_text(json.dumps(asdict(done), indent=1) + "\n")


if __name__ == "__main__":
    main()
