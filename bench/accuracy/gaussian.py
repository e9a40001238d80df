"""Gaussian process regression on the newest step: smooth, without training noise, and strong where cells are few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.accuracy.cell import Cell, Floats, stacked
from bench.accuracy.scale import Scale

CLIP = 4.0
LENGTHS = (0.7, 1.5, 3.0, 6.0)  # of the kernel, in units of the square root of the number of features
NOISES = (1e-3, 1e-2, 0.1, 0.3)


@dataclass(frozen=True, slots=True)
class GaussianModel:
    """A weighted sum of kernels at the training rows."""

    scale: Scale
    rows: Floats
    length: float
    weights: Floats
    mean: Floats

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        said = _kernel(self.scale(cell.steps[cell.at]), self.rows, self.length) @ self.weights + self.mean
        found: Floats = said + cell.anchor
        return found


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A squared exponential and a linear kernel; length and noise by leaving each cell out once, with its copies.

    Of more than ``most_rows`` rows as many are drawn, such that cells count alike.
    """

    name: str = "gp"
    columns: tuple[int, ...] = ()
    squared: bool = True
    most_rows: int = 300

    def fit(self, cells: Sequence[Cell], seed: int) -> GaussianModel:
        """Chooses the kernel on the training cells and solves for the weights."""
        read, label, weight = stacked(cells)
        owner = np.repeat([cell.cell_id for cell in cells], [np.isfinite(cell.truth).any(1).sum() for cell in cells])
        scale = Scale.of(read, weight, CLIP, self.columns)
        if len(read) > self.most_rows:
            chosen = np.sort(np.random.default_rng(seed).choice(len(read), self.most_rows, replace=False, p=weight))
            read, label, owner = read[chosen], label[chosen], owner[chosen]
        rows, mean = scale(read), label.mean(0)
        best: tuple[float, float, Floats] | None = None
        for length in LENGTHS:
            kernel = _kernel(rows, rows, length)
            for noise in NOISES:
                inverse = np.asarray(np.linalg.inv(kernel + noise * np.eye(len(rows))), np.float64)
                weights = np.asarray(inverse @ (label - mean), np.float64)
                loss = np.mean([self._left_out(inverse, weights, owner == cell) for cell in np.unique(owner)])
                if best is None or loss < best[0]:
                    best = (float(loss), length, weights)
        assert best is not None
        return GaussianModel(scale, rows, best[1], best[2], mean)

    def _left_out(self, inverse: Floats, weights: Floats, own: NDArray[np.bool_]) -> float:
        """The loss on one cell's rows, had they not been there (Rasmussen and Williams 2006, 5.12, for a block)."""
        miss = np.linalg.solve(inverse[np.ix_(own, own)], weights[own])
        return float(np.mean(miss**2 if self.squared else np.abs(miss)))


def _kernel(left: Floats, right: Floats, length: float) -> Floats:
    width = left.shape[1]
    square = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    smooth = np.exp(-np.maximum(square, 0.0) / (2 * width * length**2))
    found: Floats = smooth + 0.1 * (left @ right.T) / width
    return found
