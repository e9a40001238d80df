"""The fade of similar cells, carried over in proportion: for forecasts from too few cells to teach a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Cell, Floats

TRUST = (0.0, 0.25, 0.5, 0.75, 1.0)
FIRST, LAST = 3, 5  # cycles that stand for the beginning and for the newest state
SLOPE_CYCLES = 40
LEAST = 1e-3  # Ah lost, below which nothing can be told
REACH = 2  # times the longest life seen


@dataclass(frozen=True, slots=True)
class FadeModel:
    """The mean loss of capacity after the known cycles [K], and how far a cell's own early loss scales it."""

    loss: Floats
    early_loss: float
    trust: float
    eol: float

    def predict(self, cell: Cell) -> Floats:
        """Cycles until the forecast falls below the end of life: float64 [n, 1]."""
        return np.array([self._left(cell.steps[: at + 1, 0]) for at in cell.at]).reshape(-1, 1)

    def forecast(self, past: Floats) -> Floats:
        """Capacity after the last of ``past``, float64 [K]."""
        scale = (max(_early(past), LEAST) / self.early_loss) ** self.trust
        found: Floats = past[-LAST:].mean() - scale * self.loss
        return found

    def _left(self, past: Floats) -> float:
        below = self.forecast(past) < self.eol
        return float(np.argmax(below) + 1 if below.any() else len(below))


@dataclass(frozen=True, slots=True)
class Fade:
    """Learns from cells of one duty, whose whole capacity is in their first channel; ``known`` cycles are given."""

    known: int
    eol: float
    name: str = "fade"

    def fit(self, cells: Sequence[Cell], seed: int) -> FadeModel:  # noqa: ARG002
        """The trust in a cell's own early loss is chosen by leaving training cells out."""
        lives = [cell.steps[:, 0] for cell in cells]
        errors = [sum(self._error(lives, out, trust) for out in range(len(lives))) for trust in TRUST]
        return self._model(lives, TRUST[int(np.argmin(errors))])

    def _error(self, lives: Sequence[Floats], out: int, trust: float) -> float:
        rest = [life for index, life in enumerate(lives) if index != out]
        if not rest:
            return 0.0
        past, end = lives[out][: self.known], len(lives[out]) - self.known
        lost = past[-LAST:].mean() - np.array(
            (lives[out][-LAST:].mean(), self._model(rest, trust).forecast(past)[end - 1])
        )
        return float(np.diff(np.log(np.maximum(lost, LEAST)))[0] ** 2)

    def _model(self, lives: Sequence[Floats], trust: float) -> FadeModel:
        reach = REACH * max(map(len, lives))
        losses = [_extended(life[self.known - LAST : self.known].mean() - life[self.known :], reach) for life in lives]
        early = float(np.exp(np.mean([np.log(max(_early(life[: self.known]), LEAST)) for life in lives])))
        return FadeModel(np.mean(losses, 0), early, trust, self.eol)


def _early(past: Floats) -> float:
    return float(past[:FIRST].mean() - past[-LAST:].mean())


def _extended(loss: Floats, reach: int) -> Floats:
    """Continued by the line through its end."""
    slope = max((loss[-1] - loss[-SLOPE_CYCLES]) / (SLOPE_CYCLES - 1), 0.0)
    return np.concatenate((loss, loss[-1] + slope * np.arange(1, reach - len(loss) + 1)))
