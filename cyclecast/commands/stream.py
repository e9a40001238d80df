"""``cyclecast stream``: the consumer service, alone or as several processes of one group."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from cyclecast.commands.model_check import usable_model
from cyclecast.commands.options import Bootstrap, Config, settings_from


class StateStart(StrEnum):
    """What a service does with state that it cannot go on from."""

    KEEP = "keep"
    RESET = "reset"


def stream(
    config: Config = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Artifact folder, or built-in 'cycle' or 'sample': setting model.path."),
    ] = None,
    bootstrap: Bootstrap = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that share the partitions; their http ports count up.")
    ] = 1,
    state: Annotated[
        StateStart | None,
        typer.Option(
            help="Where kept state is of another step kind or damaged: 'keep' ends with an error, 'reset' gives it up "
            "and rebuilds it from the telemetry. Setting state.start."
        ),
    ] = None,
    until_idle: Annotated[
        float | None,
        typer.Option(metavar="S", min=0.0, help="End when nothing arrived for S seconds (batch use, tests)."),
    ] = None,
) -> None:
    """Read telemetry, predict every cell, publish the predictions.

    The service. Creates missing topics where the broker allows it, waits for a
    broker that is away, sends records that it cannot use to the dead letters,
    and commits offsets only after the predictions that depend on them are
    acknowledged. SIGTERM or Ctrl-C drains, commits and leaves; it may also be
    killed at any moment. Logs go to stderr (JSON lines; on a terminal, text).
    /healthz, /readyz and /metrics answer on http.host:http.port.

    [bold]Examples[/bold]
      cyclecast stream --bootstrap localhost:9092
      cyclecast stream --config fleet.toml --model runs/my-model --workers 4
      cyclecast stream --until-idle 5              # work off what is there, end
      CYCLECAST_KAFKA__GROUP=trial cyclecast stream
    """
    settings = settings_from(config, kafka__bootstrap=bootstrap, model__path=model, state__start=state and state.value)
    usable_model(settings.model)
    from stream.logs import configure_logs

    configure_logs(settings.log.level)
    if workers > 1:
        from cyclecast.workers import Workers

        given = {
            "--config": config,
            "--bootstrap": bootstrap,
            "--model": model,
            "--state": state and state.value,
            "--until-idle": until_idle,
        }
        arguments = [text for flag, value in given.items() if value is not None for text in (flag, str(value))]
        raise typer.Exit(Workers(settings, workers, arguments).run())
    from stream.service import run_service

    asyncio.run(run_service(settings, until_idle_s=until_idle))
