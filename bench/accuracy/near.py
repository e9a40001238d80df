"""Any learner on the rows around the cycle that is asked about alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Cell
from bench.accuracy.ensemble import Learner, Model


@dataclass(frozen=True, slots=True)
class Near:
    """For learners in closed form: what follows the first ``first`` to ``last`` cycles, and no others."""

    learner: Learner
    first: int
    last: int

    @property
    def name(self) -> str:
        """As its learner."""
        return self.learner.name

    def fit(self, cells: Sequence[Cell], seed: int) -> Model:
        """Fits the learner on the cells that have such a row with a label."""
        return self.learner.fit([near for cell in cells if (near := self._near(cell)).rows], seed)

    def _near(self, cell: Cell) -> Cell:
        known = cell.at + 1
        own = (known >= self.first) & (known <= self.last) & np.isfinite(cell.truth).any(1)
        return cell.taken(np.flatnonzero(own))
