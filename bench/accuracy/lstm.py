"""The product's network, an LSTM read at its newest step with a linear path around it, on windows of causal steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bench.accuracy.cell import Cell, Floats, Ints, stacked
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
        steps = _with_presence(self.scale(cell.steps))
        found = [
            self.network(_windows(steps, at, self.window, self.stride)).numpy()
            for at in np.array_split(cell.at + 1, max(1, -(-cell.rows // PREDICTED_AT_ONCE)))
        ]
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
    layers: int = 1
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
        read, label, weight = stacked(cells)
        thin = slice(None, None, 1 + len(read) // SCALED_ROWS)
        scale = Scale.of(read[thin], weight[thin], CLIP, self.columns)
        known = np.isfinite(label)
        mean = np.nanmean(label, 0)
        deviation = np.maximum(np.nanstd(label, 0), 1e-9)
        target = torch.tensor(np.where(known, (label - mean) / deviation, np.nan), dtype=torch.float32)
        steps, ends = _joined(cells, scale, self.window * self.stride)
        drawn = rng.choice(len(weight), (self.updates, BATCH), p=weight)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = BatteryLifespanPredictor(
                steps.shape[1], self.hidden, self.layers, label.shape[1], dropout=self.dropout, skip=self.skip
            )
            self._train(network, steps, ends, target, drawn)
        return LstmModel(network.eval(), scale, self.window, self.stride, mean, deviation)

    def _train(self, network: BatteryLifespanPredictor, steps: Tensor, ends: Ints, target: Tensor, drawn: Ints) -> None:
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.rate, total_steps=self.updates)
        squared = torch.tensor([head in self.squared for head in range(target.shape[1])])
        network.train()
        for rows in drawn:
            windows = _windows(steps, ends[rows], self.window, self.stride)
            if self.jitter:
                windows = windows + self.jitter * torch.randn_like(windows[:, :1])
            wanted = target[torch.from_numpy(rows)]
            error = torch.where(wanted.isnan(), 0.0, network(windows) - wanted)
            loss = torch.where(squared, error**2, error.abs()).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()


def _with_presence(steps: Floats) -> Tensor:
    """One channel more, which says that a step exists."""
    return torch.tensor(np.c_[steps, np.ones(len(steps))], dtype=torch.float32)


def _joined(cells: Sequence[Cell], scale: Scale, before: int) -> tuple[Tensor, Ints]:
    """All cells' steps in a row, ``before`` empty steps ahead of each cell's, and where each row's window ends."""
    pieces, ends, offset = [], [], 0
    for cell in cells:
        known = np.isfinite(cell.truth).any(1)
        steps = _with_presence(scale(cell.steps))
        pieces += [torch.zeros(before, steps.shape[1]), steps]
        ends.append(cell.at[known] + offset + before + 1)
        offset += before + len(steps)
    return torch.cat(pieces), np.concatenate(ends)


def _windows(steps: Tensor, ends: Ints, window: int, stride: int) -> Tensor:
    """Windows [k, L, F + 1] that end before ``ends`` [k]; what lies before the first step is zero."""
    at = torch.from_numpy(ends[:, None] - 1 - stride * np.arange(window)[::-1])
    gathered = steps[at.clamp(min=0)]
    return torch.where((at < 0).unsqueeze(-1), 0.0, gathered)
