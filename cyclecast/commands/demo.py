"""``cyclecast demo``: the whole path on one machine, in one command."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from cyclecast.commands.options import settings_from


def demo(
    duration: Annotated[
        float | None, typer.Option(metavar="S", min=1.0, help="End after S seconds; else when the replay is done.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the live board; 0 takes a free one.")] = 8600,
    board: Annotated[bool, typer.Option("--board/--no-board", help="Serve the live board.")] = True,
) -> None:
    """Watch a fleet being predicted: broker, replay, stream and live board.

    Starts the embedded broker, replays a small simulated fleet whose truth is
    known, predicts every cell, and shows it live. At the end it prints a
    summary: cells, predictions, the error against the truth beside that of
    simple baselines, and the weakest cells. Exits with 0 only if predictions
    arrived. On a terminal and without --duration the board stays up until
    Ctrl-C. Needs the extra: pip install 'cyclecast[demo]'.

    [bold]Examples[/bold]
      cyclecast demo
      cyclecast demo --duration 30 --no-board
      cyclecast demo --port 9000
    """
    settings = settings_from(None)
    from cyclecast.demo import run_demo

    raise typer.Exit(asyncio.run(run_demo(settings, duration_s=duration, board_port=port if board else None)))
