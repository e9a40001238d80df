"""Ridge regression on the newest step: convex, closed form, and hard to beat where cells are few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Cell, Floats, stacked
from bench.accuracy.scale import Scale

CLIP = 6.0
PENALTIES = (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
FOLDS = 5


@dataclass(frozen=True, slots=True)
class RidgeModel:
    """Linear in the standardised step."""

    scale: Scale
    weights: Floats
    bias: Floats

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        found: Floats = self.scale(cell.steps[cell.at]) @ self.weights + self.bias + cell.anchor
        return found


@dataclass(frozen=True, slots=True)
class Ridge:
    """Chooses its penalty by cross-validation over the training cells, for all heads together.

    columns: the features it may see, or all. Missing labels are not for it: heads must be known together.
    """

    name: str = "ridge"
    columns: tuple[int, ...] = ()

    def fit(self, cells: Sequence[Cell], seed: int) -> RidgeModel:
        """Fits on all of ``cells`` with the penalty that does best on cells left out."""
        part = np.random.default_rng(seed).permutation(len(cells)) % min(FOLDS, len(cells))
        error = np.zeros(len(PENALTIES))
        for index in range(part.max() + 1):
            kept = Moments([cell for cell, own in zip(cells, part, strict=True) if own != index], self.columns)
            left = [cell for cell, own in zip(cells, part, strict=True) if own == index]
            for at, penalty in enumerate(PENALTIES):
                model = kept.model(penalty)
                error[at] += sum(_square(model.predict(cell) - cell.truth) for cell in left)
        return Moments(cells, self.columns).model(PENALTIES[int(error.argmin())])


def _square(error: Floats) -> float:
    known = np.isfinite(error)
    return float(np.mean(error[known] ** 2)) if known.any() else 0.0


class Moments:
    """The normal equations of a set of cells, solved for any penalty."""

    def __init__(self, cells: Sequence[Cell], columns: tuple[int, ...]) -> None:
        read, label, weight = stacked(cells)
        self.scale = Scale.of(read, weight, CLIP, columns)
        known = np.isfinite(label).all(1)
        design, label, weight = self.scale(read)[known], label[known], weight[known] / weight[known].sum()
        self.middle, self.bias = weight @ design, weight @ label
        centred = design - self.middle
        self.values, self.vectors = np.linalg.eigh((centred * weight[:, None]).T @ centred)
        self.moment = self.vectors.T @ ((centred * weight[:, None]).T @ (label - self.bias))

    def model(self, penalty: float) -> RidgeModel:
        """The ridge of one penalty."""
        weights = self.vectors @ (self.moment / (np.maximum(self.values, 0.0) + penalty)[:, None])
        return RidgeModel(self.scale, weights, self.bias - self.middle @ weights)
