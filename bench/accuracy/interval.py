"""90 % intervals for cells to come, from errors on cells that the models had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.accuracy.cell import Cell, Floats, Ints
from bench.accuracy.scale import Scale
from model.artifact import TargetScaling
from model.calibrate import calibrated

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
    """Half widths of one head: ``offset`` times the spread, which is 1 where ``spread`` is None."""

    spread: Spread | None
    offset: float
    guess: bool

    def half_width(self, cell: Cell) -> Floats:
        """Float64 [n]."""
        spread = np.ones(cell.rows) if self.spread is None else self.spread(cell.steps[cell.at])
        return np.asarray(self.offset * spread)


def interval(cells: Sequence[Cell], unseen: Sequence[Floats], head: int, seed: int, *, local: bool) -> Interval:
    """Conformal by cell (`model.calibrate`) on the errors of what was predicted unseen.

    ``local``: errors are first divided by the spread that other cells teach, so that intervals are wide where errors
    are.
    """
    kept = [_thinned(np.flatnonzero(np.isfinite(cell.truth[:, head]))) for cell in cells]
    error = [np.abs(said - cell.truth)[own, head] for said, cell, own in zip(unseen, cells, kept, strict=True)]
    if not local:
        return _conformal(None, error)
    steps = [cell.steps[cell.at[own]] for cell, own in zip(cells, kept, strict=True)]
    part = np.random.default_rng(seed).permutation(len(cells)) % min(FOLDS, len(cells))
    ratios: list[Floats] = [np.zeros(0)] * len(cells)
    for index in range(part.max() + 1):
        spread = _spread([cell for cell in range(len(cells)) if part[cell] != index], steps, error)
        for cell in np.flatnonzero(part == index):
            ratios[cell] = error[cell] / spread(steps[cell])
    return _conformal(_spread(range(len(cells)), steps, error), ratios)


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


def _conformal(spread: Spread | None, ratios: Sequence[Floats]) -> Interval:
    cell = np.repeat(np.arange(len(ratios), dtype=np.int32), [len(each) for each in ratios])
    miss = np.concatenate(ratios).astype(np.float32)[:, None]
    nothing = TargetScaling(mean=0.0, std=1.0, label_mean=0.0)
    (found,) = calibrated((nothing,), cell, miss, np.zeros((len(miss), 1, 1), np.float32), COVERAGE)
    return Interval(spread, found.offset, found.offset_is_guess)
