"""Ridge regression for each age: what a sign says of a young cell is not what it says of an old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.ridge import Moments, RidgeModel

YOUNGEST = 5
AGES = 24
REACHED = 0.3  # of the training cells: the oldest age learned, beyond which it speaks for all
PENALTY = 0.1
EVEN = 60.0  # cycles left, above which an error counts in proportion


@dataclass(frozen=True, slots=True)
class ByAgeModel:
    """A ridge for each of ``ages`` [k], with a linear passage between neighbours in the logarithm of the age."""

    ages: Floats
    ridges: tuple[RidgeModel, ...]
    ending: tuple[int, ...]

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        place = np.interp(np.log(cell.at + 1), np.log(self.ages), np.arange(len(self.ages)))
        said = np.zeros_like(cell.truth)
        for index, ridge in enumerate(self.ridges):
            share = np.maximum(1.0 - np.abs(place - index), 0.0)
            near = np.flatnonzero(share)
            if len(near):
                said[near] += share[near, None] * ridge.predict(cell.taken(near))
        for head in self.ending:
            said[:, head] = np.maximum(np.exp(said[:, head]) - EVEN, 0.0)
        return said


@dataclass(frozen=True, slots=True)
class ByAge:
    """Learns from one row a cell at each of two dozen ages, as far as cells live. For cells asked about at every step,
    without an anchor.

    ending: the heads that count cycles to the end of a life, learned as logarithms.
    """

    ending: tuple[int, ...]
    name: str = "ridge by age"

    def fit(self, cells: Sequence[Cell], seed: int) -> ByAgeModel:  # noqa: ARG002
        """In closed form."""
        oldest = np.quantile([cell.rows for cell in cells], 1.0 - REACHED)
        ages = np.unique(np.geomspace(YOUNGEST, max(oldest, YOUNGEST + 1), AGES).round())
        ridges = [
            Moments([self._aged(cell, int(age)) for cell in cells if cell.rows >= age], ()).model(PENALTY)
            for age in ages
        ]
        return ByAgeModel(ages, tuple(ridges), self.ending)

    def _aged(self, cell: Cell, age: int) -> Cell:
        row = cell.taken(np.array([age - 1]))
        truth = row.truth.copy()
        truth[:, self.ending] = np.log(truth[:, self.ending] + EVEN)
        return replace(row, truth=truth)
