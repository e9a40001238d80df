"""Trained on one data set, tested on another: with no cell of it, and with a few to adapt to."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np

from bench.accuracy.cell import Cell
from bench.accuracy.folds import Fold
from bench.accuracy.lstm import Lstm
from bench.accuracy.percycle import STATISTICS, lives
from bench.accuracy.protocol import Goal, Protocol, run
from bench.accuracy.scores import score, score_baseline
from bench.accuracy.trend import trend_steps

SETS = ("hust", "mit", "xjtu")
ADAPTING = 3
EVERY = 20  # cycles between the rows: they say much the same
SEEDS = 1  # of five: twelve pairs are many, and what is asked is how far off, not which is better
GOAL = Goal("soh", "mape_pct", "%")
# Differences to the cell's own past alone: two makes of cell share no absolute value.
_OWN_PAST = tuple(range(len(STATISTICS), 5 * len(STATISTICS) + 1))


def relative_cells(folder: Path, name: str) -> list[Cell]:
    """SOH relative to the cell's own first capacity, known when it was commissioned."""
    found = []
    for life in lives(folder, name):
        at = np.arange(0, len(life.soh), EVERY)
        truth = (life.soh / life.soh[:5].mean())[at, None]
        found.append(
            Cell(
                cell_id=f"{name} {life.cell_id}",
                group=name,
                steps=trend_steps(life.statistics),
                at=at,
                cycle=life.cycle[at],
                truth=truth,
                anchor=np.ones_like(truth),
                copied=np.ones_like(truth),
                drawn=np.full_like(truth, np.nan),
            )
        )
    return found


def report(folder: Path, seeds: int) -> list[dict[str, object]]:
    """One entry a pair and number of adapting cells; errors are MAPE in %, means over seeds."""
    cells = {name: relative_cells(folder, name) for name in SETS}
    found: list[dict[str, object]] = []
    for source, target in permutations(SETS, 2):
        for adapting in (0, ADAPTING):
            runs = [_scores(cells[source], cells[target], adapting, seed) for seed in range(min(seeds, SEEDS))]
            names = ("error", "coverage", "width", "baseline_error", "baseline_coverage", "baseline_width")
            mean = dict(zip(names, np.mean(runs, 0).tolist(), strict=True))
            found.append({"train": source, "test": target, "adapting_cells": adapting, **mean})
    return found


def _scores(source: list[Cell], target: list[Cell], adapting: int, seed: int) -> tuple[float, ...]:
    """Error, coverage and width of the model and of the line through the source's mean fade."""
    order = np.random.default_rng(seed).permutation(len(target))
    adapted = [target[index] for index in order[:adapting]]
    cells = [*source, *adapted, *(target[index] for index in order[ADAPTING:])]
    train = tuple(range(len(source) + adapting))
    fold = Fold(train, tuple(range(len(train), len(cells))))
    protocol = replace(_PROTOCOL, split=lambda _cells, _seed: [fold])
    said = run(protocol, cells, seed)
    ours, line = score(GOAL, said), score_baseline(GOAL, said, "linear")
    assert line is not None
    return ours.error, ours.coverage, ours.width, line.error, line.coverage, line.width


_PROTOCOL = Protocol(
    name="transfer",
    track="B",
    data="percycle",
    cells=lambda folder: relative_cells(folder, "hust"),
    split=lambda _cells, _seed: [],
    learners=(Lstm(jitter=0.2, columns=_OWN_PAST),),
    goals=(GOAL,),
    inner=3,
)
