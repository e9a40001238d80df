"""A replay from the command line: what to send, a progress bar, exact counts, and how to go on after Ctrl-C."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cyclecast.commands.options import Selection
from cyclecast.commands.output import console, print_json, table
from replay.feeder import Feed, rebased_shift_ms
from replay.fleet import Member, members
from replay.journal import Journal
from replay.pace import parse_speed
from replay.replayer import Counts, Replayer
from stream.clock import SystemClock
from stream.errors import ConfigurationError
from stream.kafka.sink import KafkaSink
from stream.kafka.topics import ensure, wanted
from stream.settings import Settings

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent, how fast, from when on."""

    members: list[Member]
    speed: float
    rebase: bool
    resume: bool

    @classmethod
    def read(cls, selection: Selection, *, packs: int | None, speed: str, rebase: bool, resume: bool) -> Self:
        """Reads the recordings. Raises `ConfigurationError` for an argument that cannot be, before anything is read."""
        factor = parse_speed(speed)
        return cls(members(selection.read(), packs), factor, rebase, resume)


def journal_path(settings: Settings, feed: Feed) -> Path:
    """Where the position of a replay is kept: one file for each broker, topic and feed."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    where = f"{settings.kafka.bootstrap}|{settings.topics.telemetry}|{feed.fingerprint}"
    return state / "cyclecast" / f"replay-{hashlib.sha256(where.encode()).hexdigest()[:16]}.json"


async def run_replay(settings: Settings, plan: Plan, *, as_json: bool) -> None:
    """Sends the plan and prints the counts; after an interrupt also how to go on."""
    clock = SystemClock()
    feed = Feed(plan.members)
    shift_ms = rebased_shift_ms(feed.first_ms, feed.last_ms, clock.time_ms(), plan.speed) if plan.rebase else 0
    journal = Journal(journal_path(settings, feed))
    position = journal.load(feed.fingerprint) if plan.resume else None
    if plan.resume and position is None:
        raise ConfigurationError(
            "--resume: no interrupted replay of these recordings to this topic is known; leave it out to send them all"
        )
    feed = Feed(
        plan.members,
        shift_ms=position.shift_ms if position else shift_ms,
        skip=position.acknowledged if position else 0,
    )
    kept = _is_kept(journal)
    await ensure(settings, wanted(settings)[:1], _PATIENCE_S)
    sink = await KafkaSink.start(settings, _PATIENCE_S)
    progress = Progress(
        TextColumn("replay"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>9,.0f} records/s  {task.fields[event]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    bar = progress.add_task("replay", total=feed.records, rate=0.0, event="")

    def moved(counts: Counts) -> None:
        rate = counts.records / counts.seconds if counts.seconds else 0.0
        progress.update(bar, completed=counts.records, rate=rate, event=_utc(counts.last_ms))

    replayer = Replayer(
        feed,
        sink,
        topic=settings.topics.telemetry,
        speed=plan.speed,
        clock=clock,
        progress=moved,
        journal=journal if kept else None,
    )
    try:
        with progress:
            counts = await replayer.run()
    except asyncio.CancelledError:
        _show(settings, replayer.counts, feed, as_json=as_json)
        typer.echo("interrupted" + ("; the same command with --resume sends the rest" if kept else ""), err=True)
        raise
    finally:
        await sink.stop()
    _show(settings, counts, feed, as_json=as_json)


def _is_kept(journal: Journal) -> bool:
    """Whether positions can be written where they belong; a replay goes on without, and says so."""
    try:
        journal.path.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(journal.path.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        typer.echo(f"{journal.path.parent} is not writable: --resume will not be possible (XDG_STATE_HOME)", err=True)
    return writable


def _show(settings: Settings, counts: Counts, feed: Feed, *, as_json: bool) -> None:
    if as_json:
        facts = asdict(counts) | {"topic": settings.topics.telemetry, "skipped": feed.skip, "of": feed.records}
        print_json(facts)
        return
    rate = counts.records / counts.seconds if counts.seconds else 0.0
    rows = [
        ("records acknowledged", f"{counts.records:,} of {feed.records:,}"),
        ("cell samples", f"{counts.cell_samples:,}"),
        ("packs", f"{counts.packs:,}"),
        ("event time (UTC)", f"{_utc(counts.first_ms)} .. {_utc(counts.last_ms)}"),
        ("took", f"{counts.seconds:.1f} s, {rate:,.0f} records/s"),
        ("topic", f"{settings.topics.telemetry} at {settings.kafka.bootstrap}"),
    ]
    if feed.skip:
        rows.insert(1, ("sent before", f"{feed.skip:,}"))
    console().print(table(None, ("replay", ""), rows))


def _utc(t_ms: int | None) -> str:
    return "-" if t_ms is None else datetime.fromtimestamp(t_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
