"""Several fits of one learner, averaged: what a single one owes to the chance of its seed goes away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.ensemble import Learner, Model


@dataclass(frozen=True, slots=True)
class AveragedModel:
    """The mean of what its models say."""

    models: tuple[Model, ...]

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        found: Floats = np.mean([model.predict(cell) for model in self.models], 0)
        return found


@dataclass(frozen=True, slots=True)
class Averaged:
    """Fits its learner ``count`` times, each with a seed of its own."""

    learner: Learner
    count: int

    @property
    def name(self) -> str:
        """As its learner."""
        return self.learner.name

    def fit(self, cells: Sequence[Cell], seed: int) -> AveragedModel:
        """Fits all on the same cells."""
        seeds = np.random.SeedSequence(seed).generate_state(self.count)
        return AveragedModel(tuple(self.learner.fit(cells, int(each)) for each in seeds))
