"""The results as a table for people and as JSON for machines."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.accuracy.results import BASELINES, Row

COLUMNS = (
    "protocol", "track", "error", "bar", "ours", *BASELINES, "each learner alone", "cover", "width", "baseline's",
    "verdict", "intervals", "seeds", "CPU s a seed",
)  # fmt: skip
_DIGITS = {"mape_pct": 3, "mae": 4, "re": 3, "rmse": 1, "rmse_of_cells": 1}
_LABEL = {"mape_pct": "MAPE %", "mae": "MAE", "re": "RE", "rmse": "RMSE", "rmse_of_cells": "RMSE"}


def show(rows: Sequence[Row], console: Console) -> None:
    """Prints one line a goal, then the anchors."""
    table = Table(*COLUMNS, title="cyclecast accuracy: means over cells, then seeds (± deviation over seeds)")
    for row in rows:
        table.add_row(*cells(row))
    console.print(table)
    for row in rows:
        if row.anchor:
            console.print(f"{row.protocol}: {row.anchor}", soft_wrap=True, highlight=False)


def show_report(name: str, told: object, console: Console) -> None:
    """Prints a report: a line for each of many alike, or a line for each number of one."""
    if isinstance(told, list):
        table = Table(*(f"{key}".replace("_", " ") for key in told[0]), title=name)
        for line in told:
            table.add_row(*map(_short, line.values()))
    else:
        assert isinstance(told, dict)
        table = Table("", "", title=name, show_header=False)
        for key, value in told.items():
            table.add_row(f"{key}".replace("_", " "), _short(value))
    console.print(table)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table."""
    digits = _DIGITS[row.measure]
    best = row.best_baseline
    bar = "" if row.bar is None else f"{row.bar:g}"
    ours = f"{row.error:.{digits}f} ± {row.spread:.{digits}f}" if len(row.runs) > 1 else f"{row.error:.{digits}f}"
    if row.worst_bar is not None:
        bar, ours = f"{bar} (worst {row.worst_bar:g})", f"{ours} (worst {row.worst_group:.{digits}f})"
    baselines = (f"{row.baselines[name].error:.{digits}f}" if name in row.baselines else "-" for name in BASELINES)
    widths = 1 if row.unit == "cycles" else 4
    return (
        f"{row.protocol}: {row.goal}",
        row.track,
        f"{_LABEL[row.measure]} {row.unit if row.measure != 'mape_pct' else ''}".strip(),
        bar,
        ours,
        *baselines,
        ", ".join(f"{name} {error:.{digits}f}" for name, error in row.alone.items()) if len(row.alone) > 1 else "-",
        f"{row.coverage:.1%}",
        f"{row.width:.{widths}f}",
        "-" if best is None else f"{best.width:.{widths}f} ({best.coverage:.0%})",
        row.verdict,
        row.interval_verdict,
        f"{len(row.runs)}",
        f"{row.cpu_s / len(row.runs):.0f}",
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *(cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def save(rows: Sequence[Row], reports: dict[str, object], seconds: float, path: Path) -> None:
    """Writes everything as JSON, with the versions it was measured with."""
    found = {
        "schema": 1,
        "seconds": round(seconds),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "torch")},
        "rows": [
            {
                **asdict(row), "error": row.error, "spread": row.spread, "worst_group": row.worst_group,
                "coverage": row.coverage, "width": row.width, "verdict": row.verdict, "intervals": row.interval_verdict,
            }
            for row in rows
        ],
        "reports": reports,
    }  # fmt: skip
    path.write_text(json.dumps(_rounded(found), indent=1) + "\n", encoding="utf-8")


def _rounded(value: object) -> object:
    """Six significant digits: more would be noise in a diff."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value
