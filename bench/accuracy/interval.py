"""90 % intervals for cells to come, from errors on cells that the models had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bench.accuracy.cell import Cell, Floats, Ints
from bench.accuracy.scale import Scale
from model.artifact import TargetScaling
from model.calibrate import calibrated

Shape = Literal["learned", "in proportion", "even"]

COVERAGE = 0.9
PENALTY = 0.1
FOLDS = 5
ROWS = 100
FAR, FARTHEST = 0.99, 30.0  # a quantile; standard deviations
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Spread:
    """How large errors tend to be: a ridge on the logarithm of the absolute error, times how much further a step
    lies from the training cells than nearly all of theirs did.
    """

    scale: Scale
    weights: Floats
    bias: float
    low: float
    high: float
    far: float

    @classmethod
    def of(cls, steps: Floats, error: Floats, weight: Floats) -> Spread:
        """From steps [N, F] and absolute errors [N] of unseen cells, weighted by [N]."""
        scale = Scale.of(steps, weight, 3.0)
        design, height = scale(steps), np.log(error + _FLOOR + 0.05 * np.average(error, weights=weight))
        middle, bias = weight @ design, float(weight @ height)
        centred = (design - middle) * np.sqrt(weight)[:, None]
        gram = centred.T @ centred + PENALTY * np.eye(design.shape[1])
        weights = np.asarray(np.linalg.solve(gram, centred.T @ ((height - bias) * np.sqrt(weight))), np.float64)
        fitted = design @ weights
        low, high = np.quantile(fitted, (0.02, 0.98))
        return cls(
            scale,
            weights,
            bias - float(middle @ weights),
            float(low),
            float(high),
            float(np.quantile(_distance(scale, steps), FAR)),
        )

    def __call__(self, steps: Floats) -> Floats:
        """Float64 [n]."""
        expected = np.exp(np.clip(self.scale(steps) @ self.weights, self.low, self.high) + self.bias)
        return np.asarray(expected * np.maximum(_distance(self.scale, steps) / self.far, 1.0))


def _distance(scale: Scale, steps: Floats) -> Floats:
    """Root mean square of the standardised step, float64 [n]."""
    return np.asarray(np.sqrt((replace(scale, clip=FARTHEST)(steps) ** 2).mean(1)) + _FLOOR)


@dataclass(frozen=True, slots=True)
class Interval:
    """Half widths of one head: ``offset`` times the error to be expected by ``shape``."""

    shape: Shape
    spread: Spread | None
    offset: float
    guess: bool

    def half_width(self, cell: Cell, said: Floats) -> Floats:
        """Float64 [n], around what was ``said`` [n]."""
        return np.asarray(self.offset * _expected(self.shape, self.spread, cell.steps[cell.at], said))


def interval(cells: Sequence[Cell], unseen: Sequence[Floats], head: int, seed: int, shape: Shape) -> Interval:
    """Conformal by cell (`model.calibrate`) on the errors of what was predicted unseen.

    They are first divided by what is to be expected, so that intervals are wide where errors are: ``learned`` from the
    steps of other cells, ``in proportion`` to what is said, or ``even``.
    """
    kept = [_thinned(np.flatnonzero(np.isfinite(cell.truth[:, head]))) for cell in cells]
    said = [each[own, head] for each, own in zip(unseen, kept, strict=True)]
    error = [np.abs(each - cell.truth[own, head]) for each, cell, own in zip(said, cells, kept, strict=True)]
    steps = [cell.steps[cell.at[own]] for cell, own in zip(cells, kept, strict=True)]
    everyone = range(len(cells))
    part = np.random.default_rng(seed).permutation(len(cells)) % min(FOLDS, len(cells))
    ratios: list[Floats] = [np.zeros(0)] * len(cells)
    for index in range(part.max() + 1):
        others = [cell for cell in everyone if part[cell] != index]
        spread = _spread(others, steps, error) if shape == "learned" else None
        for cell in np.flatnonzero(part == index):
            ratios[cell] = error[cell] / _expected(shape, spread, steps[cell], said[cell])
    return _conformal(shape, _spread(everyone, steps, error) if shape == "learned" else None, ratios)


def _expected(shape: Shape, spread: Spread | None, steps: Floats, said: Floats) -> Floats:
    """The error to be expected of what is ``said`` [n] at ``steps`` [n, F], but for a factor: float64 [n]."""
    if spread is not None:
        return spread(steps)
    return np.abs(said) + _FLOOR if shape == "in proportion" else np.ones(len(said))


def _thinned(rows: Ints) -> Ints:
    """At most ``ROWS`` of them, evenly: a cell's neighbouring cycles say the same."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, ROWS).round().astype(np.int64))] if len(rows) > ROWS else rows


def _spread(chosen: Sequence[int], steps: Sequence[Floats], error: Sequence[Floats]) -> Spread:
    weight = np.concatenate([np.full(len(error[cell]), 1 / max(len(error[cell]), 1)) for cell in chosen])
    return Spread.of(
        np.concatenate([steps[cell] for cell in chosen]),
        np.concatenate([error[cell] for cell in chosen]),
        weight / weight.sum(),
    )


def _conformal(shape: Shape, spread: Spread | None, ratios: Sequence[Floats]) -> Interval:
    cell = np.repeat(np.arange(len(ratios), dtype=np.int32), [len(each) for each in ratios])
    miss = np.concatenate(ratios).astype(np.float32)[:, None]
    nothing = TargetScaling(mean=0.0, std=1.0, label_mean=0.0)
    (found,) = calibrated((nothing,), cell, miss, np.zeros((len(miss), 1, 1), np.float32), COVERAGE)
    return Interval(shape, spread, found.offset, found.offset_is_guess)
