"""How wrong a run was, by cell and over cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Floats
from bench.accuracy.protocol import Goal, Said


@dataclass(frozen=True, slots=True)
class Score:
    """Errors in the goal's measure, over cells and by cell; coverage and width of 90 % intervals, means over cells.

    ``by_place``: where rows have a place, the error of those there, over the cells that have some.
    """

    error: float
    worst_group: float
    by_cell: dict[str, float]
    by_group: dict[str, float]
    coverage: float
    width: float
    coverage_by_cell: dict[str, float]
    by_place: dict[str, float]


def score(goal: Goal, said: Sequence[Said]) -> Score:
    """Scores what the model said."""
    return _score(goal, said, [(each.point, each.low, each.high) for each in said])


def error_alone(goal: Goal, said: Sequence[Said], learner: str) -> float:
    """The error of one learner of the mixture."""
    return _score(goal, said, [(each.alone[learner],) * 3 for each in said]).error


def score_baseline(goal: Goal, said: Sequence[Said], name: str) -> Score | None:
    """Scores a baseline; None where it had no opinion."""
    bands = []
    for each in said:
        point, half = each.baselines[name]
        bands.append((point, point - half, point + half))
    if not all(np.isfinite(point[:, goal.head]).all() for point, _, _ in bands):
        return None
    return _score(goal, said, bands)


def _score(goal: Goal, said: Sequence[Said], bands: Sequence[tuple[Floats, Floats, Floats]]) -> Score:
    by_cell, squares, coverage, width = {}, {}, {}, {}
    groups: dict[str, list[str]] = {}
    places: dict[str, list[float]] = {}
    head = goal.head
    for each, (point, low, high) in zip(said, bands, strict=True):
        truth = each.cell.truth[:, head]
        known = np.isfinite(truth) & (truth > 0 if goal.ending else True)
        if not known.any() or (goal.of and each.cell.cell_id not in goal.of):
            continue
        name, truth, middle = each.cell.cell_id, truth[known], point[known, head]
        by_cell[name] = measured(goal, truth, middle)
        squares[name] = float(np.mean((middle - truth) ** 2))
        coverage[name] = float(np.mean((low[known, head] <= truth) & (truth <= high[known, head])))
        width[name] = float(np.mean(high[known, head] - low[known, head]))
        groups.setdefault(each.cell.group, []).append(name)
        place = np.asarray(each.cell.place)[known] if each.cell.place else np.zeros(0, str)
        for found in np.unique(place):
            places.setdefault(str(found), []).append(measured(goal, truth[place == found], middle[place == found]))
    by_group = {group: float(np.mean([by_cell[name] for name in names])) for group, names in groups.items()}
    if goal.measure == "rmse_of_cells":
        error = math.sqrt(float(np.mean(list(squares.values()))))
    else:
        error = float(np.mean(list(by_group.values() if goal.by_group else by_cell.values())))
    return Score(
        error=error,
        worst_group=max(by_group.values()),
        by_cell=by_cell,
        by_group=by_group,
        coverage=float(np.mean(list(coverage.values()))),
        width=float(np.mean(list(width.values()))),
        coverage_by_cell=coverage,
        by_place={place: float(np.mean(errors)) for place, errors in sorted(places.items())},
    )


def measured(goal: Goal, truth: Floats, point: Floats) -> float:
    """The error of one cell's predictions [n]."""
    error = np.abs(point - truth)
    match goal.measure:
        case "mape_pct":
            return 100 * float(np.mean(error / truth))
        case "re":
            return float(np.mean(error / truth))
        case "rmse" | "rmse_of_cells":
            return math.sqrt(float(np.mean(error**2)))
        case "mae":
            return float(np.mean(error))
