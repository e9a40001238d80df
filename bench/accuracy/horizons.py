"""Any learner of several heads, taught what a capacity comes to after other numbers of cycles, too (Caruana 1997)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.ensemble import Learner, Model


@dataclass(frozen=True, slots=True)
class HorizonsModel:
    """Answers the heads that are asked about, the first ``asked``."""

    model: Model
    asked: int

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        return self.model.predict(cell)[:, : self.asked]


@dataclass(frozen=True, slots=True)
class Horizons:
    """For cells whose first step is the capacity, smoothed. A head for each of ``horizons``, in cycles from a row on:
    cells teach, too, that end before what is asked about.
    """

    learner: Learner
    horizons: tuple[int, ...]

    @property
    def name(self) -> str:
        """As its learner."""
        return self.learner.name

    def fit(self, cells: Sequence[Cell], seed: int) -> HorizonsModel:
        """Fits the learner on all heads."""
        model = self.learner.fit([self._further(cell) for cell in cells], seed)
        return HorizonsModel(model, cells[0].truth.shape[1])

    def _further(self, cell: Cell) -> Cell:
        capacity = cell.steps[:, 0]
        end = cell.at[:, None] + np.array(self.horizons)
        lived = end < len(capacity)
        later = np.where(lived, capacity[np.minimum(end, len(capacity) - 1)], np.nan)
        anchor = np.repeat(cell.anchor[:, :1], len(self.horizons), 1)
        return replace(cell, truth=np.c_[cell.truth, later], anchor=np.c_[cell.anchor, anchor], copies=())
