"""``report.html`` of a backtest: one page that needs nothing but itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

import pyarrow as pa

from model.artifact import Manifest
from model.schema import Target
from replay.backtest_run import Tally
from replay.report_packs import alerts_section, packs_section
from replay.report_section import target_section
from replay.report_table import table
from replay.report_units import percent, shown_in

_MEANING = {
    "insufficient_data": "too few steps yet; no values",
    "out_of_distribution": "unlike anything the model was trained on",
    "late_input": "some of its input came late",
    "masked_input": "some of its readings were invalid",
    "censored": "beyond what the data can tell",
    "degraded": "a fallback answered",
}


def report_html(predictions: pa.Table, metrics: dict[str, Any], tally: Tally, manifest: Manifest, command: str) -> str:
    """The report as one HTML document, styled for light and dark, without external resources.

    predictions: see ``replay.prediction_table``. metrics: the document of ``metrics.json``.
    """
    css = (resources.files("replay") / "report.css").read_text(encoding="utf-8")
    seen = {cell.cell_id for cell in manifest.data if cell.role != "test"}
    body = [
        _header(manifest, command),
        _tiles(metrics, tally, manifest),
        _notice(sorted(seen.intersection(predictions["cell_id"].to_pylist())), metrics),
        *(target_section(predictions, metrics, manifest, target, seen) for target in manifest.targets),
        packs_section(metrics),
        alerts_section(metrics["alerts"]),
        _input(predictions, tally),
        _model(manifest),
        "<footer>Errors are averaged within a cell, then over cells, so that a long life does not count for more. "
        "Written by <code>cyclecast backtest</code>.</footer>",
    ]
    title = f"Backtest of {escape(manifest.model_id)}"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, body))
        + "\n</main>\n</body>\n</html>\n"
    )


def _header(manifest: Manifest, command: str) -> str:
    shown = f"<pre>{escape(command)}</pre>" if command else ""
    return f"<header><h1>Backtest</h1><p>Model <code>{escape(manifest.model_id)}</code></p>{shown}</header>"


def _tiles(metrics: dict[str, Any], tally: Tally, manifest: Manifest) -> str:
    letters = sum(count for _, count in tally.dead_letters)
    tiles = [
        (f"{metrics['predictions']:,}", "predictions", f"of {metrics['cells']:,} cells", ""),
        (f"{tally.records:,}", "records", f"{letters:,} dead letters", f"{tally.masked:,} invalid readings"),
    ]
    for target in manifest.targets:
        scored = metrics["targets"].get(target.name)
        if scored is None:
            continue
        unit = shown_in(target)
        rivals = metrics["baselines"][target.name]
        best = min(rivals, key=lambda name: float(rivals[name]["mae"]), default=None)
        against = "" if best is None else f"best baseline ({best}): {unit.text(rivals[best]['mae'])}"
        covered = f"{percent(scored['coverage_90'])} within the 90 % interval"
        tiles.append((unit.text(scored["mae"]), f"mean error of {unit.title}", against, covered))
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span><small>{escape(more)}</small>'
            f"<small>{escape(last)}</small></div>"
            for value, what, more, last in tiles
        )
        + "</div>"
    )


def _notice(seen: Sequence[str], metrics: dict[str, Any]) -> str:
    notes = []
    if seen:
        some = ", ".join(seen[:6]) + (", ..." if len(seen) > 6 else "")
        notes.append(
            f"{len(seen)} of the {metrics['cells']} cells took part in training ({escape(some)}): "
            "such errors say little about cells that the model has never seen."
        )
    if not metrics["targets"]:
        notes.append("The recordings carry no measured capacity, so there is no truth to hold the predictions against.")
    return "".join(f'<p class="note">{note}</p>' for note in notes)


def _input(predictions: pa.Table, tally: Tally) -> str:
    flags = Counter(flag for row in predictions["flags"].to_pylist() for flag in row)
    rows = [
        ("Records", f"{tally.records:,}", f"{tally.cell_samples:,} cell samples"),
        ("Invalid cell readings", f"{tally.masked:,}", "masked; the rest of their frame was used"),
        ("Late cell samples", f"{tally.late:,}", "older than what the cell had already taken in"),
        ("Repeated cell samples", f"{tally.duplicate:,}", "the same instant again"),
    ]
    rows += [(f"Dead letters: {reason}", f"{count:,}", "refused, kept aside") for reason, count in tally.dead_letters]
    rows += [
        (f"Predictions flagged {flag}", f"{count:,}", _MEANING.get(flag, "")) for flag, count in sorted(flags.items())
    ]
    return f"<h2>What went in</h2>{table(('', 'count', 'meaning'), rows)}"


def _model(manifest: Manifest) -> str:
    roles = Counter(cell.role for cell in manifest.data)
    told = ", ".join(f"{count} {role}" for role, count in sorted(roles.items())) or "not told"
    steps = f"{manifest.steps.kind} steps of {len(manifest.channels)} channels, windows of {manifest.window}"
    rows = [
        ("Artifact", "", manifest.model_id),
        ("Input", "", steps),
        ("Targets", "", ", ".join(_spelled(target) for target in manifest.targets)),
        ("End of life", "", f"SOH below {percent(manifest.eol_soh)}"),
        ("Cells it was made from", "", told),
    ]
    return f"<h2>The model</h2>{table(('', '', ''), rows)}"


def _spelled(target: Target) -> str:
    return shown_in(target).title
