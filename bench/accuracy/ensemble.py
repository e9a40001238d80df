"""Cross-fitting: each learner once without each inner fold, so that every training cell is also predicted unseen.

The models of all inner folds are averaged; what they said of the cells they had not seen decides how learners are mixed
and how wide intervals must be. Where folds are repeated, each time other ones, several models have not seen a cell: the
mixture is chosen by what each says, and intervals are calibrated on their mean, which is nearer to the average that a
test cell is answered by. No test cell is near any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.folds import by_cell, leave_one_out

SHARES = 10  # a mixture is chosen on a grid of tenths
APART = 1000  # between the seeds of repeats, so that no two runs of the table share one


class Model(Protocol):
    """Something trained."""

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H] for the rows of ``cell``."""
        ...


class Learner(Protocol):
    """Something that trains."""

    @property
    def name(self) -> str:
        """How it is called in the table."""
        ...

    def fit(self, cells: Sequence[Cell], seed: int) -> Model:
        """Trains on the labels of ``cells`` and on nothing else."""
        ...


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Models [learner][inner fold of each repeat], the share of each learner by head [H, learners], and what they said,
    mixed, of the examined rows of each training cell that they had not seen, the mean over repeats.
    """

    models: tuple[tuple[Model, ...], ...]
    shares: Floats
    unseen: tuple[Floats, ...]

    def alone(self, cell: Cell) -> Floats:
        """What each learner says, the mean over its models: float64 [n, H, learners]."""
        return np.stack([np.mean([model.predict(cell) for model in fitted], 0) for fitted in self.models], -1)

    def mixed(self, alone: Floats) -> Floats:
        """Float64 [n, H]."""
        found: Floats = (alone * self.shares).sum(-1)
        return found

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]: the mean over models, mixed over learners."""
        return self.mixed(self.alone(cell))


def cross_fit(
    learners: Sequence[Learner],
    cells: Sequence[Cell],
    folds: int,
    seed: int,
    *,
    squared: tuple[int, ...],
    repeats: int = 1,
) -> Ensemble:
    """Fits ``learners`` on ``cells`` over inner folds by cell, ``repeats`` times. ``squared``: the heads mixed for the
    mean square.
    """
    split = leave_one_out if folds >= len(cells) else by_cell(folds)
    models: list[list[Model]] = [[] for _ in learners]
    said: list[list[Floats]] = [[] for _ in cells]
    for repeat in range(repeats):
        for fold in split(cells, seed + APART * repeat):
            train = [cells[index] for index in fold.train]
            for own, learner in zip(models, learners, strict=True):
                own.append(learner.fit(train, 1000 * seed + len(own)))
            for index in fold.test:
                said[index].append(np.stack([own[-1].predict(cells[index].exam()) for own in models], -1))
    repeated = [np.stack(each) for each in said]  # [repeats, n, H, learners] of each cell
    shares = _shares([cell.exam() for cell in cells], repeated, squared=squared)
    unseen = tuple((each.mean(0) * shares).sum(-1) for each in repeated)
    return Ensemble(tuple(tuple(own) for own in models), shares, unseen)


def _shares(cells: Sequence[Cell], said: Sequence[Floats], *, squared: tuple[int, ...]) -> Floats:
    """The mixture of single models that errs least on unseen cells, for each head; cells count alike."""
    learners = said[0].shape[-1]
    grid = [np.array(each) / SHARES for each in product(range(SHARES + 1), repeat=learners) if sum(each) == SHARES]
    best = []
    for head in range(said[0].shape[2]):
        losses = []
        for shares in grid:
            error = [
                np.abs(each[:, :, head] @ shares - cell.truth[:, head]) for each, cell in zip(said, cells, strict=True)
            ]
            means = [np.nanmean(each**2 if head in squared else each) for each in error if np.isfinite(each).any()]
            losses.append(np.mean(means))
        best.append(grid[int(np.argmin(losses))])
    return np.array(best)
