"""A protocol: whose data, split how, what is asked, by whom it is answered, and what is good enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from bench.accuracy.baseline import Column, Line, Mean
from bench.accuracy.cell import Cell, Floats
from bench.accuracy.ensemble import Learner, Model, cross_fit
from bench.accuracy.folds import Split
from bench.accuracy.interval import Shape, interval

Measure = Literal["mape_pct", "mae", "rmse", "rmse_of_cells", "re"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked of a head, and of which cells (all, if none is named). bar, worst_bar: what the error, and that of
    the worst group, should not exceed, where that was set. ending: a count of cycles that ends with the life.
    """

    name: str
    measure: Measure
    unit: str
    bar: float | None = None
    worst_bar: float | None = None
    ending: bool = False
    by_group: bool = False
    head: int = 0
    of: tuple[str, ...] = ()

    @property
    def squared(self) -> bool:
        """Whether the measure is of squares, so that the mean is the best answer rather than the median."""
        return self.measure in ("rmse", "rmse_of_cells")


@dataclass(frozen=True, slots=True)
class Protocol:
    """A row of the table for each goal. inner: folds over the training cells that mix the learners and calibrate.

    repeats: how many times, each with other folds. widths: what intervals are wide by. least: below it nothing is said.
    """

    name: str
    track: str
    data: str
    cells: Callable[[Path], list[Cell]]
    split: Split
    learners: tuple[Learner, ...]
    goals: tuple[Goal, ...]
    inner: int = 5
    repeats: int = 1
    widths: Shape = "learned"
    least: float = 0.0

    @property
    def heads(self) -> int:
        """What a model answers at once."""
        return 1 + max(goal.head for goal in self.goals)

    @property
    def squared(self) -> tuple[int, ...]:
        """The heads judged by their squares."""
        return tuple({goal.head for goal in self.goals if goal.squared})


@dataclass(frozen=True, slots=True)
class Said:
    """What was said of one cell in one run: point, low and high float64 [n, H], and alike for each baseline.

    ``baselines``: the point and the half width of each. ``alone``: the point of each learner, had it not been mixed.
    """

    cell: Cell
    point: Floats
    low: Floats
    high: Floats
    baselines: dict[str, tuple[Floats, Floats]]
    calibration_cells: int
    alone: dict[str, Floats] = field(default_factory=dict)


def run(protocol: Protocol, cells: Sequence[Cell], seed: int) -> list[Said]:
    """One run: every examined cell is predicted by models that have seen nothing of it."""
    said = []
    for fold in protocol.split(cells, seed):
        train = [cells[index] for index in fold.train]
        test = [cells[index].exam() for index in fold.test]
        test = [cell for cell in test if cell.rows]
        if test:
            said.extend(_fold(protocol, train, test, seed))
    return said


def _fold(protocol: Protocol, train: Sequence[Cell], test: Sequence[Cell], seed: int) -> list[Said]:
    ensemble = cross_fit(
        protocol.learners, train, protocol.inner, seed, squared=protocol.squared, repeats=protocol.repeats
    )
    train = [cell.exam() for cell in train]
    widths = [interval(train, ensemble.unseen, head, seed, protocol.widths) for head in range(protocol.heads)]
    baselines = [learner.fit(train, seed) for learner in baseline_learners(protocol)]
    named = {
        learner.name: _Baseline(protocol, model, train, seed)
        for learner, model in zip(baseline_learners(protocol), baselines, strict=True)
    }
    known = sum(bool(np.isfinite(cell.truth).any()) for cell in train)
    said = []
    for cell in test:
        each = np.maximum(ensemble.alone(cell), protocol.least)
        point = ensemble.mixed(each)
        half = np.stack([width.half_width(cell, point[:, head]) for head, width in enumerate(widths)], -1)
        low = np.maximum(point - half, protocol.least)
        beside = {name: base(cell) for name, base in named.items()}
        alone = {learner.name: each[..., index] for index, learner in enumerate(protocol.learners)}
        said.append(Said(cell, point, low, point + half, beside, known, alone))
    return said


def baseline_learners(protocol: Protocol) -> tuple[Learner, ...]:
    """Copy-last, linear, mean."""
    ending = tuple({goal.head for goal in protocol.goals if goal.ending})
    return (Column("copy"), Line(), Mean(ending=ending))


class _Baseline:
    """A baseline with intervals by the very same calibration."""

    def __init__(self, protocol: Protocol, model: Model, train: Sequence[Cell], seed: int) -> None:
        self._model = model
        said = [model.predict(cell) for cell in train]
        heads = range(protocol.heads)
        self._widths = [
            interval(train, said, head, seed, protocol.widths) if _speaks(said, head) else None for head in heads
        ]

    def __call__(self, cell: Cell) -> tuple[Floats, Floats]:
        """Point and half width, float64 [n, H]."""
        point, nothing = self._model.predict(cell), np.full(cell.rows, np.nan)
        half = [
            nothing if width is None else width.half_width(cell, point[:, head])
            for head, width in enumerate(self._widths)
        ]
        return point, np.stack(half, -1)


def _speaks(said: Sequence[Floats], head: int) -> bool:
    return all(np.isfinite(each[:, head]).all() for each in said)
