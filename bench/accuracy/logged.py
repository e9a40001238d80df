"""Any learner on the logarithm of its labels: for lives, whose errors grow with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.ensemble import Learner, Model


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """Answers in natural units."""

    model: Model

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        return np.exp(np.minimum(self.model.predict(cell), 20.0))


@dataclass(frozen=True, slots=True)
class Logged:
    """Labels must be positive, anchors zero."""

    learner: Learner

    @property
    def name(self) -> str:
        """As its learner."""
        return self.learner.name

    def fit(self, cells: Sequence[Cell], seed: int) -> LoggedModel:
        """Fits the learner on logarithms."""
        return LoggedModel(self.learner.fit([cell.relabelled(np.log(cell.truth)) for cell in cells], seed))
