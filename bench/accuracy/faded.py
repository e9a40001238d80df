"""Any learner on the logarithm of the fade to come, which spans two decades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.ensemble import Learner, Model
from bench.accuracy.logged import Logged

LEAST = 4e-3  # of the rated capacity, added to every fade: none is told apart from nothing by much less


@dataclass(frozen=True, slots=True)
class FadedModel:
    """``model`` says the fade and `LEAST`; answers are capacities, at most ``LEAST`` above the anchor, and no less than
    ``lowest``: an exponential would go on, a cell is taken out.
    """

    model: Model
    lowest: float

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        said = self.model.predict(replace(cell, anchor=np.zeros_like(cell.anchor)))
        return np.maximum(cell.anchor + LEAST - said, self.lowest)


@dataclass(frozen=True, slots=True)
class Faded:
    """Learns log(anchor - truth + ``LEAST``); a capacity that rises counts as one that stays. None is said to be below
    the lowest that was learned.
    """

    learner: Learner

    @property
    def name(self) -> str:
        """As its learner."""
        return self.learner.name

    def fit(self, cells: Sequence[Cell], seed: int) -> FadedModel:
        """Fits the learner on logarithms."""
        lowest = min(float(np.nanmin(cell.truth)) for cell in cells if np.isfinite(cell.truth).any())
        return FadedModel(Logged(self.learner).fit([_fading(cell) for cell in cells], seed), lowest)


def _fading(cell: Cell) -> Cell:
    fade = np.maximum(cell.anchor - cell.truth, 0.0) + LEAST
    return replace(cell, truth=fade, anchor=np.zeros_like(fade))
