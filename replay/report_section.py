"""What a report says of one target: against the baselines, on single cells, by age, by cell, and how honest it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model.artifact import Manifest
from model.schema import Target
from replay import report_plots as plots
from replay.report_units import Shown, percent, shown_in
from replay.scoring import cell_ids, column, quantiles

_BASELINES = {
    "last": "copies the last measured value",
    "linear": "continues the line through all measured values",
    "mean": "always says the mean of the training cells",
}


def target_section(
    predictions: pa.Table, metrics: dict[str, Any], manifest: Manifest, target: Target, seen: Collection[str]
) -> str:
    """One section of the report; ``seen`` names the cells that took part in training."""
    view = _View(predictions, manifest, target)
    title = view.unit.title[0].upper() + view.unit.title[1:]
    scored = metrics["targets"].get(target.name)
    if scored is None:
        return _unmeasured(view, title)
    baselines = metrics["baselines"][target.name]
    by_cell: dict[str, dict[str, float]] = scored["by_cell"]
    ranked = sorted(by_cell, key=lambda name: by_cell[name]["mae"])
    picked = {ranked[-1]: "worst", ranked[len(ranked) // 2]: "median", ranked[0]: "best"}  # fewer with fewer cells
    names = list(picked)[::-1]
    titles = [f"{name}  ({picked[name]}: {view.unit.text(by_cell[name]['mae'])})" for name in names]
    drawing = view.curves(names, titles)
    return "\n".join(
        [
            f"<h2>{escape(title)}</h2>",
            f'<p class="lead">{_verdict(scored, baselines, view.unit)}</p>',
            f'<div class="card scroll">{_comparison(scored, baselines, view.unit)}'
            "<figcaption>The baselines know every capacity measured so far; the model sees telemetry alone. Green: the "
            "best of a column.</figcaption></div>",
            f'<figure class="card">{drawing}<figcaption>The cells with the smallest, the median and the largest error.'
            "</figcaption></figure>",
            '<div class="pair">',
            f'<figure class="card"><h3>Error by age</h3>{view.by_cycle(baselines)}'
            "<figcaption>Median absolute error; the band holds 80 % of the model's.</figcaption></figure>",
            f'<figure class="card"><h3>Reliability</h3>{view.reliability()}'
            "<figcaption>An honest interval follows the dashed line.</figcaption></figure>",
            "</div>",
            _cells(by_cell, baselines, view.unit, seen),
        ]
    )


class _View:
    """The columns of one target, in the unit in which people read it."""

    def __init__(self, predictions: pa.Table, manifest: Manifest, target: Target) -> None:
        self.target, self.unit, self.eol_soh = target, shown_in(target), manifest.eol_soh
        self.ids: NDArray[np.str_] = np.array(cell_ids(predictions), np.str_)
        self.cycle = column(predictions, "cycle").astype(np.float64)
        self.step = column(predictions, "step").astype(np.float64)
        self.quantiles = quantiles(predictions, target.name).astype(np.float64) * self.unit.scale
        self.truth = column(predictions, f"{target.name}_truth").astype(np.float64) * self.unit.scale
        self.levels = manifest.quantiles
        self.rivals = {
            name: column(predictions, f"{target.name}_{name}").astype(np.float64) * self.unit.scale
            for name in _BASELINES
        }
        scored = np.isfinite(self.truth) & np.isfinite(self.quantiles).all(axis=1)
        self.scored = scored & (self.truth > 0) if target.kind == "rul" else scored

    @property
    def y_label(self) -> str:
        """The axis of the target's values."""
        return f"{self.unit.title}, {self.unit.axis}"

    def curves(self, names: Sequence[str], titles: Sequence[str]) -> str:
        """Cells over their lives."""
        by_cycle = bool(np.isfinite(self.cycle).all())
        x = self.cycle if by_cycle else self.step
        panels = []
        for name, title in zip(names, titles, strict=True):
            rows = np.flatnonzero(self.ids == name)
            low, mid, high = self.quantiles[rows].T
            panels.append(plots.Curve(title, x[rows], low, mid, high, self.truth[rows]))
        line = self.eol_soh * self.unit.scale if self.target.kind == "soh" else None
        return plots.curves(panels, "cycle" if by_cycle else "step", self.y_label, line)

    def by_cycle(self, baselines: Collection[str]) -> str:
        """Errors over age, of the model and of the baselines that look back."""
        rows, truth = self.scored, self.truth[self.scored]
        guessers = [plots.Errors("model", plots.ACCENT, self.cycle[rows], np.abs(self.quantiles[rows, 1] - truth))]
        for name, colour in (("last", plots.RIVAL), ("linear", plots.RIVAL_2)):
            if name in baselines:
                error = np.abs(self.rivals[name][rows] - truth)
                guessers.append(plots.Errors(name, colour, self.cycle[rows], error))
        return plots.errors_by_cycle(guessers, f"absolute error, {self.unit.axis}")

    def reliability(self) -> str:
        """The part of the truth below each quantile, by cell."""
        below = self.truth[:, None] <= self.quantiles
        cells = [self.scored & (self.ids == name) for name in np.unique(self.ids[self.scored])]
        observed: NDArray[np.float64] = np.array([below[rows].mean(axis=0) for rows in cells])
        return plots.reliability(self.levels, observed)


def _unmeasured(view: _View, title: str) -> str:
    """A target without any truth: what was said of the weakest, the median and the strongest cell."""
    answered = np.isfinite(view.quantiles).all(axis=1)
    head = f"<h2>{escape(title)}</h2>"
    if not answered.any():
        return f'{head}<p class="lead">No prediction carries a value: no cell had enough steps yet.</p>'
    names = np.unique(view.ids[answered])
    final = [view.quantiles[np.flatnonzero(answered & (view.ids == name))[-1], 1] for name in names]
    ranked = names[np.argsort(final)]
    picked = list(dict.fromkeys([str(ranked[0]), str(ranked[len(ranked) // 2]), str(ranked[-1])]))
    return (
        f'{head}<p class="lead">Nothing was measured at these cycles.</p><figure class="card">'
        f"{view.curves(picked, picked)}"
        "<figcaption>The cells with the lowest, the median and the highest last prediction.</figcaption></figure>"
    )


def _verdict(scored: dict[str, Any], baselines: dict[str, Any], unit: Shown) -> str:
    said = (
        f"Off by {unit.text(scored['mae'])} on average. The 90 % interval holds {percent(scored['coverage_90'])} of "
        f"the truth and is {unit.text(scored['width_90'])} wide."
    )
    better = [name for name, rival in baselines.items() if rival["mae"] < scored["mae"]]
    if better:
        return f"{said} Simpler guesses that do better: {', '.join(better)}."
    return f"{said} It beats every baseline." if baselines else said


def _comparison(scored: dict[str, Any], baselines: dict[str, Any], unit: Shown) -> str:
    columns = [("mae", f"MAE, {unit.axis}"), ("rmse", f"RMSE, {unit.axis}"), ("mape_pct", "MAPE, %")]
    rows = {"model": scored, **baselines}
    best = {key: min(float(row[key]) for row in rows.values()) for key, _ in columns}
    head = ["", "predictions", *(label for _, label in columns), "in 90 % interval", f"interval width, {unit.axis}"]
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for name, row in rows.items():
        note = f" <span style='color:var(--muted)'>{_BASELINES[name]}</span>" if name in _BASELINES else ""
        cells = [f'<td class="{"own" if name == "model" else ""}">{name}{note}</td>', f"<td>{row['n']:,}</td>"]
        for key, _ in columns:
            value = float(row[key])
            shown = f"{value:.2f}" if key == "mape_pct" else unit.number(value)
            cells.append(f'<td class="{"best" if value == best[key] else ""}">{shown}</td>')
        if "coverage_90" in row:
            cells += [f"<td>{percent(row['coverage_90'], 1)}</td>", f"<td>{unit.number(row['width_90'])}</td>"]
        else:
            cells += ["<td></td>", "<td></td>"]
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return f"<table>{''.join(lines)}</table>"


def _cells(by_cell: dict[str, dict[str, float]], baselines: dict[str, Any], unit: Shown, seen: Collection[str]) -> str:
    best = min(baselines, key=lambda name: float(baselines[name]["mae"]), default=None)
    rivals = {} if best is None else baselines[best]["by_cell"]
    names = list(by_cell)
    drawing = plots.errors_by_cell(
        names,
        [by_cell[name]["mae"] * unit.scale for name in names],
        [rivals[name]["mae"] * unit.scale if name in rivals else np.nan for name in names],
        [name in seen for name in names],
        f"mean absolute error, {unit.axis}",
    )
    note = f"The mark is the {best} baseline. " if best else ""
    pale = "Pale bars: cells that took part in training. " if any(name in seen for name in names) else ""
    more = f"The worst {plots.MAX_BARS} of {len(names)} cells. " if len(names) > plots.MAX_BARS else ""
    caption = f"<figcaption>{note}{pale}{more}</figcaption>"
    return f'<figure class="card" style="margin-top:14px"><h3>Error by cell</h3>{drawing}{caption}</figure>'
