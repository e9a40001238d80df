"""``cyclecast replay``: recordings into the telemetry topic."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cyclecast.commands.options import Bootstrap, Config, Json, Recordings, tool_settings
from stream.errors import ConfigurationError


def _when(text: str | None, flag: str) -> datetime | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{flag} = {text!r}: give an ISO time such as 2024-01-08T06:00:00Z") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def replay(
    paths: Recordings,
    config: Config = None,
    bootstrap: Bootstrap = None,
    topic: Annotated[str | None, typer.Option(help="Where to: setting topics.telemetry.")] = None,
    speed: Annotated[
        str, typer.Option(metavar="X|max", help="Seconds of event time in a second; max: as fast as it goes.")
    ] = "max",
    packs: Annotated[
        int | None, typer.Option(min=1, help="Multiply the recordings into a fleet of this many packs.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="tidy, bdf, fleet or wide, where the content does not tell.")
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option("--map", help="TOML that describes a wide log's columns.", exists=True, dir_okay=False),
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="First event time, ISO, UTC by default.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Event time to stop before.")] = None,
    rebase: Annotated[
        bool, typer.Option("--rebase", help="Move event times to now; without it they stay as recorded.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the same replay was interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """Feed recordings into the stream.

    Merges all recordings by event time, paces them, and waits for the broker's
    acknowledgement of each record. At the end it prints exact counts; with
    --json as one document. Ctrl-C ends it cleanly, and --resume goes on behind
    the last acknowledged record. Creates the topic where the broker allows it.

    [bold]Examples[/bold]
      cyclecast replay recordings/
      cyclecast replay B0005.parquet --speed 1000 --rebase
      cyclecast replay pack.parquet --packs 500 --bootstrap broker:9092
      cyclecast replay car.parquet --format wide --map car.toml --start 2017-04-01
    """
    settings = tool_settings(config, kafka__bootstrap=bootstrap, topics__telemetry=topic)
    first, last = _when(start, "--start"), _when(end, "--end")

    from cyclecast.replaying import Plan, run_replay

    plan = Plan.read(
        paths, form=form, mapping=mapping, start=first, end=last, packs=packs, speed=speed, rebase=rebase, resume=resume
    )
    asyncio.run(run_replay(settings, plan, as_json=as_json))
