"""What needs no learning to speak of, and must be beaten: copy-last, a straight line, and the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Cell, Floats


@dataclass(frozen=True, slots=True)
class Column:
    """A baseline that is a function of the cell's own past; None where it has no opinion on any row of a head."""

    name: str

    def fit(self, cells: Sequence[Cell], seed: int) -> Column:  # noqa: ARG002
        """Learns nothing."""
        return self

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        return cell.copied if self.name == "copy" else cell.drawn


@dataclass(frozen=True, slots=True)
class Line:
    """The cell's own line where it has one; else the training cells' mean fade per cycle, from the copied value on."""

    name: str = "linear"
    slope: float | Floats = 0.0

    def fit(self, cells: Sequence[Cell], seed: int) -> Line:  # noqa: ARG002
        """The slope of truth minus copied value over the cycle, through the origin; cells count alike."""
        moments = []
        for cell in cells:
            change = cell.truth - cell.copied
            known = np.isfinite(change)
            time = np.where(known, cell.cycle[:, None], 0.0)
            count = np.maximum(known.sum(0), 1)
            moments.append(((time * np.where(known, change, 0.0)).sum(0) / count, (time**2).sum(0) / count))
        above, below = np.sum(moments, 0)
        return Line(self.name, above / np.maximum(below, 1e-12))

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        return np.where(np.isfinite(cell.drawn), cell.drawn, cell.copied + self.slope * cell.cycle[:, None])


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean label of the training cells; of the heads ``ending``, the mean end of life minus the cycle."""

    name: str = "mean"
    ending: tuple[int, ...] = ()
    mean: float | Floats = np.nan

    def fit(self, cells: Sequence[Cell], seed: int) -> Mean:  # noqa: ARG002
        """Cells count alike."""
        means = [np.nanmean(cell.truth + self._passed(cell), 0) for cell in cells if np.isfinite(cell.truth).any()]
        return Mean(self.name, self.ending, np.mean(means, 0))

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]; a life left is never negative."""
        said = self.mean - self._passed(cell)
        return np.where(self._ending(cell), np.maximum(said, 0.0), said)

    def _passed(self, cell: Cell) -> Floats:
        return np.where(self._ending(cell), cell.cycle[:, None], 0.0)

    def _ending(self, cell: Cell) -> np.ndarray:
        return np.isin(np.arange(cell.truth.shape[1]), self.ending)
