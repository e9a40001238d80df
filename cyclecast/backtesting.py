"""A backtest from the command line: a progress bar, then the model's errors beside those of the baselines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cyclecast.commands.options import Selection
from cyclecast.commands.out_folder import usable_out
from cyclecast.commands.output import console, print_json, table
from replay.backtest import backtest
from replay.backtest_run import Tally
from stream.logs import configure_logs
from stream.settings import Settings

_NAMES = {"last": "copy last", "linear": "linear", "mean": "mean of training"}


def run_backtest(
    settings: Settings, selection: Selection, out: Path, *, workers: int, command: Sequence[str], as_json: bool
) -> None:
    """Runs it and prints what it found."""
    configure_logs("warning")
    recordings = selection.read()
    usable_out(out, out)
    progress = Progress(
        TextColumn("backtest"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    bar = progress.add_task("backtest", total=sum(recording.frames for recording in recordings))
    with progress:
        result = backtest(
            recordings, settings, out, workers=workers, progress=lambda n: progress.advance(bar, n), command=command
        )
    if as_json:
        print_json(result.metrics)
        return
    console().print(errors_table(result.metrics))
    typer.echo(tally_line(result.tally, result.metrics))
    if "packs" in result.metrics:
        weakest = result.metrics["packs"]["soh"]
        errors = f"off by {weakest['mae']:.4f}, {100 * weakest['coverage_90']:.1f} % covered"
        typer.echo(f"packs: the SOH of the weakest cell {errors} on {weakest['n']:,} frames")
    typer.echo(alerts_line(result.metrics["alerts"]))
    typer.echo(f"wrote {out / 'metrics.json'}, predictions.parquet, alerts.jsonl, report.html")


def errors_table(metrics: dict[str, Any]) -> Table:
    """Each target's errors and, below it, those of the baselines on the same predictions."""
    rows: list[tuple[str, ...]] = []
    for target, found in metrics["targets"].items():
        rows.append((target, "model", *_errors(found), found.get("worst_cell") or "-"))
        rows += [
            ("", _NAMES.get(name, name), *_errors(rival), "")
            for name, rival in metrics["baselines"].get(target, {}).items()
        ]
    columns = ("target", "by", ">n", ">MAE", ">RMSE", ">MAPE %", ">90 % covers", ">width", "worst cell")
    title = f"{metrics['model']}: {metrics['predictions']:,} predictions of {metrics['cells']:,} cells"
    return table(title if rows else f"{title}; none with a known truth", columns, rows)


def tally_line(tally: Tally, metrics: dict[str, Any]) -> str:
    """What went in and what became of it, in one line."""
    letters = sum(count for _, count in tally.dead_letters)
    reasons = f" ({', '.join(f'{count} {reason}' for reason, count in tally.dead_letters)})" if letters else ""
    samples = f"{tally.masked:,} masked, {tally.late:,} late, {tally.duplicate:,} repeated"
    parts = (
        f"{tally.records:,} records",
        f"{tally.cell_samples:,} cell samples ({samples})",
        f"{letters:,} dead letters{reasons}",
        f"{metrics['predictions']:,} predictions",
    )
    return ", ".join(parts)


def alerts_line(alerts: dict[str, Any]) -> str:
    """How many alerts began, by kind, and how those of the end of life stand to the truth."""
    raised = [f"{found['raised']:,} {kind}" for kind, found in alerts.items() if found["raised"]]
    ends = alerts.get("end_of_life", {})
    truth = ""
    if "past" in ends:
        truth = (
            f"; {ends['told']} of {ends['past']} cells past their end of life were told of, and {ends['early']} others"
        )
    return f"alerts: {', '.join(raised) or 'none'}{truth}"


def _errors(found: dict[str, Any]) -> tuple[str, ...]:
    def number(key: str, form: str) -> str:
        value = found.get(key)
        return "-" if value is None else format(value, form)

    coverage = found.get("coverage_90")
    return (
        number("n", ",d"),
        number("mae", ".4g"),
        number("rmse", ".4g"),
        number("mape_pct", ".2f"),
        "-" if coverage is None else f"{100 * coverage:.1f} %",
        number("width_90", ".4g"),
    )
