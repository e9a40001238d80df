"""The product's network, an LSTM read at its newest step with a linear path around it, on windows of causal steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.accuracy.cell import Cell, Floats, Ints, labelled, stacked
from bench.accuracy.lstm_training import Course, Windows, one_cycle, train
from bench.accuracy.scale import Scale
from model.network import BatteryLifespanPredictor

CLIP = 5.0
BATCH = 128
SCALED_ROWS = 20_000  # enough for a mean and a deviation
PREDICTED_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class LstmModel:
    """A trained network and what it needs to be asked."""

    network: BatteryLifespanPredictor
    scale: Scale
    window: int
    stride: int
    mean: Floats
    deviation: Floats

    @torch.no_grad()
    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        before = self.window * self.stride
        steps, back = _joined([cell.steps], self.scale, before), _back(self.window, self.stride)
        at = (cell.at + before)[:, None] - back
        pieces = np.array_split(at, max(1, -(-cell.rows // PREDICTED_AT_ONCE)))
        found = [self.network(torch.from_numpy(steps[piece])).numpy() for piece in pieces]
        return np.concatenate(found).astype(np.float64) * self.deviation + self.mean + cell.anchor


@dataclass(frozen=True, slots=True)
class Lstm:
    """Trains on windows drawn so that every cell counts alike, a fixed number of updates under a one-cycle rate.

    window steps, ``stride`` apart, are seen at once. squared: the heads that learn the mean rather than the median.
    jitter: noise added to a whole window, in standard deviations, so that the offset of a single cell is not learned by
    heart. skip: the linear path around the LSTM.
    """

    name: str = "lstm"
    window: int = 8
    stride: int = 1
    hidden: int = 32
    updates: int = 500
    rate: float = 3e-3
    decay: float = 1e-3
    dropout: float = 0.1
    jitter: float = 0.0
    skip: bool = True
    squared: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def fit(self, cells: Sequence[Cell], seed: int) -> LstmModel:
        """Trains one network; the seed decides its weights and the order of the windows."""
        rng = np.random.default_rng(seed)
        thin = 1 + sum(cell.rows for cell in cells) // SCALED_ROWS
        read, _, weight = stacked([cell.taken(np.arange(0, cell.rows, thin)) for cell in cells])
        scale = Scale.of(read, weight, CLIP, self.columns)
        label, weight = labelled(cells)
        known = np.isfinite(label)
        mean = np.nanmean(label, 0)
        deviation = np.maximum(np.nanstd(label, 0), 1e-9)
        windows = Windows(
            _joined([cell.steps for cell in cells], scale, self.window * self.stride),
            _newest(cells, self.window * self.stride),
            _back(self.window, self.stride),
            np.where(known, (label - mean) / deviation, np.nan).astype(np.float32),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = BatteryLifespanPredictor(
                windows.steps.shape[1], self.hidden, 1, label.shape[1], dropout=self.dropout, skip=self.skip
            )
        train(network, windows, self._course(rng, weight, windows.steps.shape[1]), self.squared, self.decay)
        return LstmModel(network.eval(), scale, self.window, self.stride, mean, deviation)

    def _course(self, rng: np.random.Generator, weight: Floats, channels: int) -> Course:
        size = (self.updates, BATCH)
        return Course(
            rng.choice(len(weight), size, p=weight),
            np.float32(self.jitter) * rng.standard_normal((*size, channels if self.jitter else 0), np.float32),
            (rng.random((*size, self.hidden), np.float32) >= self.dropout) / np.float32(1.0 - self.dropout),
            one_cycle(self.updates, self.rate),
        )


def _joined(lives: Sequence[Floats], scale: Scale, before: int) -> NDArray[np.float32]:
    """All lives' steps in a row, scaled, ``before`` empty ones ahead of each: float32 [k, F + 1]. The last channel
    tells them apart.
    """
    pieces = []
    for life in lives:
        known = np.c_[scale(life), np.ones(len(life))].astype(np.float32)
        pieces += [np.zeros((before, known.shape[1]), np.float32), known]
    return np.concatenate(pieces)


def _newest(cells: Sequence[Cell], before: int) -> Ints:
    """Which of the joined steps each row with a label is read at: int64 [N]."""
    found, offset = [], before
    for cell in cells:
        found.append(cell.at[np.isfinite(cell.truth).any(1)] + offset)
        offset += len(cell.steps) + before
    return np.concatenate(found)


def _back(window: int, stride: int) -> Ints:
    """How many steps before its newest each step of a window lies, int64 [L]."""
    return stride * np.arange(window - 1, -1, -1)
