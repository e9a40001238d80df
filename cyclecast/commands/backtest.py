"""``cyclecast backtest``: the stream's pipeline over recordings, without a broker."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cyclecast.commands.model_check import usable_model
from cyclecast.commands.options import (
    Config,
    End,
    Format,
    Json,
    Map,
    Recordings,
    Selection,
    Start,
    settings_from,
)


def backtest(
    paths: Recordings,
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, predictions.parquet and report.html.")],
    model: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Artifact folder, or built-in 'cycle' or 'sample': setting model.path."),
    ] = None,
    form: Format = None,
    mapping: Map = None,
    start: Start = None,
    end: End = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; the results are the same with any number.")] = 1,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Run a model over history and hold it against what was measured.

    The same pipeline as the live stream, as fast as it goes, without a broker:
    record by record the predictions are those that the stream would publish.
    Prints the errors beside the baselines; with --json the content of
    metrics.json.

    [bold]Examples[/bold]
      cyclecast backtest recordings/ --model runs/first --out reports/first
      cyclecast backtest B0005.parquet --out /tmp/b5 --workers 2 --json
    """
    settings = settings_from(config, model__path=model)
    usable_model(settings.model)
    from cyclecast.backtesting import run_backtest

    selection = Selection(tuple(paths), form, mapping, start, end)
    run_backtest(settings, selection, out, workers=workers, command=("cyclecast", *sys.argv[1:]), as_json=as_json)
