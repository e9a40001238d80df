"""``cyclecast replay``: recordings into the telemetry topic."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from cyclecast.commands.options import (
    Bootstrap,
    Config,
    End,
    Format,
    Json,
    Map,
    Recordings,
    Selection,
    Start,
    tool_settings,
)


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
    form: Format = None,
    mapping: Map = None,
    start: Start = None,
    end: End = None,
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
    selection = Selection(tuple(paths), form, mapping, start, end)

    from cyclecast.replaying import Plan, run_replay

    plan = Plan.read(selection, packs=packs, speed=speed, rebase=rebase, resume=resume)
    asyncio.run(run_replay(settings, plan, as_json=as_json))
