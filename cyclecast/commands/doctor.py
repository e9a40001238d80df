"""``cyclecast doctor``: what is missing on this machine, and what to do about it."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from cyclecast.commands.options import Bootstrap, Config, Json, tool_settings


def doctor(
    config: Config = None,
    bootstrap: Bootstrap = None,
    model: Annotated[str | None, typer.Option(metavar="DIR", help="The artifact to try: setting model.path.")] = None,
    as_json: Json = False,
) -> None:
    """Check everything that the stream needs, and say what to do.

    Python and packages, torch, GPU and driver, the compiler's cache, the
    broker, topics, permissions (nothing is written), and the artifact. Prints
    ok, warn or fail for each; exits with 1 when something fails.

    [bold]Examples[/bold]
      cyclecast doctor
      cyclecast doctor --bootstrap broker:9092 --model runs/first
      cyclecast doctor --json | jq '.[] | select(.status == "fail")'
    """
    settings = tool_settings(config, kafka__bootstrap=bootstrap, model__path=model)
    from cyclecast.checkup import run_checks, show

    checks = asyncio.run(run_checks(settings))
    show(checks, as_json=as_json)
    raise typer.Exit(int(any(check.status == "fail" for check in checks)))
