"""The plots of a report: vector drawings whose colours are the page's own, so that they follow light and dark."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# Stand-ins, each replaced by a variable of the page's style once the drawing is text.
_INK, _MUTED, _LINE, _CARD = "#010101", "#020202", "#030303", "#040404"
ACCENT, TRUTH, RIVAL, RIVAL_2, GOOD = "#050505", "#060606", "#070707", "#080808", "#090909"
_VARIABLES = {
    _INK: "ink",
    _MUTED: "muted",
    _LINE: "line",
    _CARD: "card",
    ACCENT: "accent",
    TRUTH: "truth",
    RIVAL: "rival",
    RIVAL_2: "rival2",
    GOOD: "good",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
}
_BINS = 40
MAX_BARS = 40


@dataclass(frozen=True, slots=True)
class Curve:
    """One cell's predictions of one target over its life. x: [n]; low, mid, high, truth: float [n], NaN where none."""

    title: str
    x: NDArray[np.float64]
    low: NDArray[np.float64]
    mid: NDArray[np.float64]
    high: NDArray[np.float64]
    truth: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Errors:
    """Absolute errors of one guesser at cycles. cycle, error: float [n], NaN where there is none."""

    name: str
    colour: str
    cycle: NDArray[np.float64]
    error: NDArray[np.float64]


def curves(panels: Sequence[Curve], x_label: str, y_label: str, line: float | None) -> str:
    """Predictions with their 90 % band against the truth, a panel a cell; ``line`` is the end-of-life level."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 3.3), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, panel in zip(axes, panels, strict=True):
            axis.fill_between(panel.x, panel.low, panel.high, color=ACCENT, alpha=0.22, lw=0, label="90 % interval")
            axis.plot(panel.x, panel.mid, color=ACCENT, lw=1.6, label="prediction")
            if np.isfinite(panel.truth).any():
                axis.plot(panel.x, panel.truth, ".", color=TRUTH, ms=3.2, label="measured")
            if line is not None:
                axis.axhline(line, color=_MUTED, lw=0.9, ls=(0, (4, 3)), label="end of life")
            axis.set_title(panel.title)
            axis.set_xlabel(x_label)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes[0].set_ylabel(y_label)
        axes[0].set_ylim(*_range(panels, line))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return _svg(figure, "curves")


def errors_by_cycle(guessers: Sequence[Errors], y_label: str) -> str:
    """The median error at each age, the model's with the band that holds 80 % of its errors."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axis = figure.subplots()
        for own, guesser in zip([True, *[False] * len(guessers)], guessers, strict=False):
            middle, low, median, high = _binned(guesser.cycle, guesser.error)
            if own:
                axis.fill_between(middle, low, high, color=guesser.colour, alpha=0.2, lw=0)
            axis.plot(middle, median, color=guesser.colour, lw=1.8 if own else 1.2, label=guesser.name)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("cycle")
        axis.set_ylabel(y_label)
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        figure.legend(loc="outside lower center", ncols=len(guessers))
        return _svg(figure, "errors")


def reliability(levels: Sequence[float], observed: NDArray[np.float64]) -> str:
    """How often the truth lay below each predicted quantile. observed: float [cells, levels], a cell's fractions."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.3), layout="constrained")
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=_MUTED, lw=0.9, ls=(0, (4, 3)), label="perfect")
        spread = np.random.default_rng(0).uniform(-0.012, 0.012, observed.shape)
        axis.plot(
            (np.array(levels) + spread).ravel(), observed.ravel(), ".", color=ACCENT, alpha=0.35, ms=5, label="a cell"
        )
        axis.plot(levels, observed.mean(axis=0), "-o", color=ACCENT, lw=1.6, ms=6, label="mean of cells")
        axis.set_xlim(-0.03, 1.03)
        axis.set_ylim(-0.03, 1.03)
        axis.set_xticks(levels, [f"{100 * level:.0f} %" for level in levels])
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axis.set_xlabel("predicted quantile")
        axis.set_ylabel("truth below it")
        figure.legend(loc="outside lower center", ncols=3)
        return _svg(figure, "reliability")


def errors_by_cell(
    names: Sequence[str], errors: Sequence[float], rival: Sequence[float], seen: Sequence[bool], x_label: str
) -> str:
    """The error of each cell, worst first; a mark where the best simple guess stands; cells seen in training pale."""
    with mpl.rc_context(_STYLE):
        order = np.argsort(errors)[::-1][:MAX_BARS][::-1]
        figure = Figure(figsize=(11, 0.9 + 0.25 * len(order)), layout="constrained")
        axis = figure.subplots()
        places = np.arange(len(order))
        alphas = [0.4 if seen[index] else 0.95 for index in order]
        bars = axis.barh(places, [errors[index] for index in order], height=0.62, color=ACCENT)
        for bar, alpha in zip(bars, alphas, strict=True):
            bar.set_alpha(alpha)
        axis.plot([rival[index] for index in order], places, "|", color=RIVAL, ms=9, mew=2)
        axis.set_yticks(places, [names[index] for index in order])
        axis.set_ylim(-0.6, len(order) - 0.4)
        axis.set_xlim(left=0)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(x_label)
        return _svg(figure, "cells")


def _range(panels: Sequence[Curve], line: float | None) -> tuple[float, float]:
    """An axis for what is predicted and measured; a band that is far wider is cut, or it would crush the rest."""
    lines = [part for panel in panels for part in (panel.mid, panel.truth)]
    inner = np.concatenate([*lines, np.array([np.nan if line is None else line])])
    outer = np.concatenate([part for panel in panels for part in (panel.low, panel.high)])
    widths = np.concatenate([panel.high - panel.low for panel in panels])
    if not np.isfinite(widths).any():
        return 0.0, 1.0
    low, high = float(np.nanmin(inner)), float(np.nanmax(inner))
    room = max(high - low, float(np.nanmedian(widths)), 1e-6)
    bottom = max(float(np.nanmin(outer)), low - room)
    top = min(float(np.nanmax(outer)), high + room)
    return min(bottom, low) - 0.05 * room, max(top, high) + 0.05 * room


def _binned(cycle: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Up to ``_BINS`` bins of age: their middles, and the 10th, 50th and 90th percentile of the errors there."""
    known = np.isfinite(cycle) & np.isfinite(error)
    cycle, error = cycle[known], error[known]
    if not len(cycle):
        return (np.zeros(0),) * 4
    edges = np.linspace(cycle.min(), cycle.max() + 1, min(_BINS, int(np.ptp(cycle)) + 1) + 1)
    which = np.clip(np.digitize(cycle, edges) - 1, 0, len(edges) - 2)
    used = np.unique(which)
    parts = [np.percentile(error[which == index], (10, 50, 90)) for index in used]
    low, median, high = np.array(parts).T
    return (edges[used] + edges[used + 1]) / 2, low, median, high


def _svg(figure: Figure, salt: str) -> str:
    """The drawing as an ``<svg>`` element, the same bytes for the same data."""
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    for stand_in, name in _VARIABLES.items():
        text = text.replace(stand_in, f"var(--{name})")
    return text
