"""Any learner on cells and on their copies at other paces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Cell
from bench.accuracy.ensemble import Learner, Model


@dataclass(frozen=True, slots=True)
class Paced:
    """A copy counts like a cell; all cells have as many, so that they count alike."""

    learner: Learner

    @property
    def name(self) -> str:
        """As its learner."""
        return self.learner.name

    def fit(self, cells: Sequence[Cell], seed: int) -> Model:
        """Fits the learner on all copies that are long enough to have a label."""
        copies = [copy for cell in cells for copy in cell.copies if np.isfinite(copy.truth).any()]
        return self.learner.fit([*cells, *copies], seed)
