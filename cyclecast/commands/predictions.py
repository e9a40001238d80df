"""``cyclecast predictions``: a subscriber to the result topic."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from cyclecast.commands.options import Bootstrap, Config, tool_settings
from cyclecast.commands.output import reader_may_leave


class Since(StrEnum):
    """Where a subscriber begins."""

    EARLIEST = "earliest"
    LATEST = "latest"


def predictions(
    config: Config = None,
    bootstrap: Bootstrap = None,
    pack: Annotated[str | None, typer.Option(metavar="ID", help="Only this pack.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The records as published, one JSON line each.")] = False,
    since: Annotated[
        Since, typer.Option("--from", help="All that the topic holds, or only what comes from now on.")
    ] = Since.LATEST,
    until_idle: Annotated[
        float | None, typer.Option(metavar="S", min=0.0, help="End when nothing arrived for S seconds.")
    ] = None,
) -> None:
    """Print predictions as they are published.

    A line for each: event time, pack, cell, cycle, then SOH, remaining cycles
    and future capacity, each as its median and, in brackets, its 90 % interval,
    and the flags. Joins no group and commits nothing: it disturbs nobody. Ends
    on Ctrl-C, or when its reader goes.

    [bold]Examples[/bold]
      cyclecast predictions
      cyclecast predictions --from earliest --pack P1 --until-idle 2
      cyclecast predictions --json | jq 'select(.soh.p50 < 0.85) | .pack_id'
    """
    settings = tool_settings(config, kafka__bootstrap=bootstrap)
    from cyclecast.subscription import print_predictions

    with reader_may_leave():
        asyncio.run(print_predictions(settings, since.value, pack=pack, as_json=as_json, until_idle_s=until_idle))
