"""``python -m bench.peers``: every peer on the same topic, same messages, same model; a table, a JSON and a plot."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench.load import START_MS, Load, fill
from bench.peers.environment import ROOT, python_of
from bench.peers.process import Outcome, Process, Results, outcome
from bench.peers.report import Line, plot, show
from bench.service import broker
from bench.startup import free_port
from stream.kafka.topics import ensure, wanted
from stream.logs import configure_logs
from stream.settings import Settings
from tests.kafka.cluster import missing_tools
from tests.service import as_environment

FOLDER = Path(__file__).parent
STEP_MS, STRIDE, STEPS, PARTITIONS = 60_000, 50, 451, 4  # the artifact `sample` has steps of a minute
LOADS = {
    "a record a cell, every 5 s": Load(5, 8, STEPS * 12, PARTITIONS, period_ms=5_000, by_cell=True),
    "pack frames of 96 cells, every 2 s": Load(4, 96, STEPS * 30, PARTITIONS, period_ms=2_000),
    "pack frames, every minute: the model alone": Load(8, 96, STEPS, PARTITIONS, period_ms=STEP_MS),
}
TOLERANCE = 1e-3  # of SOH: cyclecast keeps rounded steps, and batches of other sizes round otherwise


@dataclass(frozen=True, slots=True)
class Peer:
    """What it promises, as configured here."""

    name: str
    module: str
    delivery: str
    state: str


PEERS = (
    Peer("cyclecast", "", "exactly-once", "survives"),
    Peer("plain aiokafka", "plain", "at-least-once", "lost"),
    Peer("FastStream, batches", "faststream", "at-least-once", "lost"),
    Peer("Quix Streams", "quix", "at-least-once", "survives: RocksDB, changelog"),
    Peer("Faust", "faust", "at-least-once", "survives: changelog"),
    Peer("Bytewax", "bytewax", "at-least-once", "survives: snapshots"),
)


def main() -> None:
    """Runs all peers on all loads; with names, only those, and nothing is written."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=main.__doc__)
    names = [peer.module or peer.name for peer in PEERS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all if none is named")
    only = parser.parse_args().names
    if unknown := set(only) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if reason := missing_tools():
        sys.exit(f"the peers need a Kafka: {reason}")
    configure_logs("error", console=True)
    logging.disable(logging.ERROR)
    peers = [peer for peer in PEERS if not only or (peer.module or peer.name) in only]
    lines: list[Line] = []
    for name, load in LOADS.items():
        lines += asyncio.run(_side_by_side(name, load, peers))
        show(lines)
    if not only:
        rows = [asdict(line) for line in lines]
        (FOLDER / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
        plot(lines, FOLDER / "results.svg")
        print(f"written to {FOLDER}/results.json and results.svg")


async def _side_by_side(name: str, load: Load, peers: list[Peer]) -> list[Line]:
    cores = sorted(os.sched_getaffinity(0))
    here, there = cores[0], cores[-1]
    os.sched_setaffinity(0, {there})  # the broker and this runner; peers have the other core for themselves
    try:
        async with broker() as bootstrap:
            settings = _settings(bootstrap, "bench", load)
            await ensure(settings, wanted(settings))
            await fill(bootstrap, settings.topics.telemetry, load)
            bare = await _bare(settings, load, here)
            lines, expected = [], None
            for peer in peers:
                print(f"{name}: {peer.name} ...", file=sys.stderr)
                line = Line(name, peer.name, peer.delivery, peer.state)
                try:
                    found = await _run(peer, bootstrap, load, here)
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
                    last = " ".join(said.split())[-160:]
                    lines.append(replace(line, note=f"cannot run: {last}"))
                    continue
                expected = expected or found.results
                lines.append(_judged(line, found, load, bare, expected))
            return lines
    finally:
        os.sched_setaffinity(0, cores)


def _judged(line: Line, found: Outcome, load: Load, bare: float, reference: Results) -> Line:
    done = load.records * found.share
    core_rate, clock_rate = done / max(found.core_s, 1e-9), done / found.seconds
    notes = [] if found.share == 1 else [f"stopped after {found.seconds:.0f} s at {found.share:.0%}"]
    if found.results.keys() - reference.keys():
        notes.append("predicts what others do not")
    both = [(found.results[key], reference[key]) for key in found.results.keys() & reference.keys()]
    if any((one is None) != (other is None) for one, other in both):
        notes.append("values where others have none")
    apart = max((abs(one - other) for one, other in both if one is not None and other is not None), default=0.0)
    if apart > TOLERANCE:
        notes.append(f"values differ by {apart:.1e}")
    count = f"{len(found.results)} of {_due(load)}, within {apart:.0e}"
    return replace(
        line,
        core_rate=core_rate,
        clock_rate=clock_rate,
        of_getmany=core_rate / bare,
        predictions=count,
        note="; ".join(notes),
    )


def _due(load: Load) -> int:
    # The first sample's minute need not begin with it: START_MS lies within one.
    steps = (START_MS + (load.frames - 1) * load.period_ms) // STEP_MS - START_MS // STEP_MS
    return load.packs * load.cells * (steps // STRIDE)


def _settings(bootstrap: str, name: str, load: Load) -> Settings:
    return Settings.model_validate(
        {
            "app": name,
            "kafka": {"bootstrap": bootstrap, "group": name},
            "topics": {"partitions": load.partitions, "predictions": f"{name}.predictions"},
            "model": {"path": "sample"},
            "http": {"port": free_port()},
        }
    )


def _environment(settings: Settings, folder: str) -> Mapping[str, str]:
    return {
        "PEER_BOOTSTRAP": settings.kafka.bootstrap,
        "PEER_GROUP": settings.kafka.group,
        "PEER_TELEMETRY": settings.topics.telemetry,
        "PEER_PREDICTIONS": settings.topics.predictions,
        "PEER_FOLDER": folder,
        "PYTHONPATH": str(ROOT),
    }


async def _run(peer: Peer, bootstrap: str, load: Load, core: int) -> Outcome:
    settings = _settings(bootstrap, f"peer-{peer.module or 'cyclecast'}", load)
    await ensure(settings, wanted(settings))
    with tempfile.TemporaryDirectory() as folder:
        if peer.module:
            command = [str(python_of(peer.module)), "-m", f"bench.peers.{peer.module}"]
            process = Process(command, _environment(settings, folder), core)
        else:
            url = f"http://{settings.http.host}:{settings.http.port}/metrics"
            process = Process([sys.executable, "-m", "cyclecast", "stream"], as_environment(settings), core, url)
        async with process:
            return await outcome(process, bootstrap, settings.topics.predictions, _due(load))


async def _bare(settings: Settings, load: Load, core: int) -> float:
    """Records per second of CPU time."""
    environment = {**_environment(settings, ""), "PEER_RECORDS": str(load.records)}
    async with Process([sys.executable, "-m", "bench.peers.bare"], environment, core) as process:
        return float(await process.says(60.0))


if __name__ == "__main__":
    main()
