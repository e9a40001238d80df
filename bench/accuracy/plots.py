"""Four pictures of a row: predicted against true, error along the life, reliability of intervals, the worst cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.accuracy.cell import Floats
from bench.accuracy.protocol import Goal, Protocol, Said
from bench.accuracy.scores import score

POINTS = 3000
WORST = 8
STAGES = 10


def draw(protocol: Protocol, goal: Goal, said: Sequence[Said], path: Path) -> None:
    """Writes one PNG for a goal, from one run."""
    chosen = [each for each in said if (not goal.of or each.cell.cell_id in goal.of) and each.cell.rows]
    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{protocol.name}: {goal.name} (track {protocol.track})")
    first, second, third, fourth = figure.subplots(2, 2).flat
    _against(first, goal, chosen)
    _along(second, goal, chosen)
    _reliable(third, goal, chosen)
    _worst(fourth, goal, chosen)
    figure.savefig(path, dpi=70)


def _against(axes: Axes, goal: Goal, said: Sequence[Said]) -> None:
    truth = np.concatenate([each.cell.truth[:, goal.head] for each in said])
    point = np.concatenate([each.point[:, goal.head] for each in said])
    thin = max(1, len(truth) // POINTS)
    axes.plot(truth[::thin], point[::thin], ".", markersize=3)
    ends = np.nanmin(truth), np.nanmax(truth)
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.set(xlabel="true", ylabel="predicted", title="predicted against true")


def _along(axes: Axes, goal: Goal, said: Sequence[Said]) -> None:
    """Absolute errors over the cycle; where each cell has one row, over the truth."""
    single = max(each.cell.rows for each in said) == 1
    where = np.concatenate([each.cell.truth[:, goal.head] if single else each.cell.cycle for each in said]).astype(
        float
    )
    error = np.concatenate([errors(goal, each) for each in said])
    known = np.isfinite(error) & np.isfinite(where)
    where, error = where[known], error[known]
    order = np.argsort(where, kind="stable")
    stages = [stage for stage in np.array_split(order, STAGES) if len(stage)]
    begins = [where[stage[0]] for stage in stages]
    for quantile, label in ((0.5, "median"), (0.9, "90 %")):
        axes.step(begins, [np.quantile(error[stage], quantile) for stage in stages], where="post", label=label)
    along = "true" if single else "cycle"
    axes.set(xlabel=along, ylabel=f"absolute error ({goal.unit})", title=f"error by {'truth' if single else 'cycle'}")
    axes.legend()


def errors(goal: Goal, said: Said) -> Floats:
    """Of each row, in the goal's unit: in per cent of the truth where that is it."""
    truth = said.cell.truth[:, goal.head]
    error: Floats = np.abs(said.point[:, goal.head] - truth)
    return 100.0 * error / truth if goal.measure == "mape_pct" else error


def _reliable(axes: Axes, goal: Goal, said: Sequence[Said]) -> None:
    """How often the truth lies within the interval scaled to other sizes: at 1 it should be 90 %."""
    sizes = np.linspace(0.05, 2.0, 40)
    inside = np.mean([_within(each, goal.head, sizes) for each in said], 0)
    axes.plot(sizes, inside)
    axes.axvline(1.0, color="grey", linestyle=":")
    axes.axhline(0.9, color="grey", linestyle=":")
    axes.set(
        xlabel="share of the 90 % interval's half width", ylabel="truths inside", title="reliability", ylim=(0, 1.02)
    )


def _within(said: Said, head: int, sizes: Floats) -> Floats:
    half = np.maximum(said.high - said.point, 1e-12)[:, head]
    ratio = np.abs(said.point - said.cell.truth)[:, head] / half
    found: Floats = (ratio[np.isfinite(ratio), None] <= sizes).mean(0)
    return found


def _worst(axes: Axes, goal: Goal, said: Sequence[Said]) -> None:
    by_cell = score(goal, said).by_cell
    names = sorted(by_cell, key=lambda name: -by_cell[name])[:WORST]
    axes.barh(names[::-1], [by_cell[name] for name in names[::-1]])
    axes.set(xlabel=f"{goal.measure.split('_')[0].upper()} ({goal.unit})", title="worst cells")
