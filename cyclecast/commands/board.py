"""``cyclecast board``: the live page over the result topics."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from cyclecast.commands.options import Bootstrap, Config, tool_settings


def board(
    config: Config = None,
    bootstrap: Bootstrap = None,
    port: Annotated[
        int, typer.Option(metavar="P", min=0, max=65535, help="Where the page answers; 0: a free port.")
    ] = 8600,
) -> None:
    """Show the fleet live in a browser.

    A subscriber to predictions and alerts that serves a page: the fleet's health,
    each pack as a map of its cells, the fade of a cell with its forecast, the
    alerts that stand, the weakest cells. It begins with all that the topics hold,
    joins no group, and takes nothing from the service, which may run elsewhere and
    start later.
    http.host says on which address it answers. Ends on Ctrl-C.

    [bold]Examples[/bold]
      cyclecast board
      cyclecast board --bootstrap kafka:9092 --port 8080
    """
    settings = tool_settings(config, kafka__bootstrap=bootstrap)
    from cyclecast.live_board import LiveBoard

    asyncio.run(LiveBoard(settings).serve(port, lambda url: typer.echo(f"live board at {url} (Ctrl-C ends it)")))
