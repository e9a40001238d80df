"""An epoch as the pieces that go through the network, and the data set that gathers them for a `DataLoader`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.augment import masked_channels, shown_steps
from model.dataset import WindowSet
from model.losses import label_weights
from model.training_config import Training

_LENGTHS = 4  # lengths that windows are padded to
_WORTH = 1500  # steps of padding that a further piece must save, measured on a CPU: below, its own cost is larger


class Piece(NamedTuple):
    """Windows that go through the network at once: a part of one step of the optimiser.

    rows: int64 [k]. shown: int64 [k], how many of its newest steps each shows. masked: bool [k, C], the channels it
    does not show. length: the steps they are padded to. weight: float32 [T], of a known label in the step's loss.
    last: whether the optimiser steps after it.
    """

    rows: NDArray[np.int64]
    shown: NDArray[np.int64]
    masked: NDArray[np.bool_]
    length: int
    weight: Tensor
    last: bool


class Lot(NamedTuple):
    """A gathered `Piece`: windows float32 [k, length, C], labels float32 [k, T]."""

    windows: Tensor
    labels: Tensor
    weight: Tensor
    last: bool


class Lots(torch.utils.data.Dataset[Lot]):
    """Gathers pieces; in whichever process, the outcome is the same."""

    def __init__(self, windows: WindowSet) -> None:
        self._windows = windows

    def __getitem__(self, piece: Piece) -> Lot:
        windows = self._windows.windows(piece.rows, piece.length)
        windows[np.arange(-piece.length, 0) < -piece.shown[:, None]] = np.nan
        windows[np.broadcast_to(piece.masked[:, None, :], windows.shape)] = np.nan
        labels = torch.from_numpy(self._windows.labels[piece.rows])
        return Lot(torch.from_numpy(windows), labels, piece.weight, piece.last)


def epoch_pieces(
    windows: WindowSet, rows: NDArray[np.int64], config: Training, epoch: int, rank: int = 0, world: int = 1
) -> list[Piece]:
    """Process ``rank``'s pieces of an epoch over the training ``rows``.

    What a step of the optimiser learns from follows from seed and epoch alone: the pieces of all processes, and pieces
    of any size, add up to the same gradient.
    """
    rng = np.random.default_rng((config.seed, epoch))
    rows = rng.permutation(rows)[: config.epoch_windows or None]
    steps = config.steps
    shown = shown_steps(rng, windows.length[rows], steps.window, config.augment, steps.min_steps)
    masked = masked_channels(rng, len(rows), len(steps.channels), config.augment)
    pieces = []
    for start in range(0, len(rows), config.batch * config.accumulate):
        step = np.arange(start, min(start + config.batch * config.accumulate, len(rows)))
        if len(step) < world:  # a process without a window would keep the others waiting
            break
        weight = label_weights(torch.from_numpy(windows.labels[rows[step]]))
        lots = list(_lots(step[rank::world], shown, steps.window, -(-config.batch // world)))
        pieces += [
            Piece(rows[lot], shown[lot], masked[lot], length, weight, number == len(lots))
            for number, (lot, length) in enumerate(lots, 1)
        ]
    return pieces


def _lots(
    positions: NDArray[np.int64], shown: NDArray[np.int64], window: int, at_most: int
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """The positions cut into lots of at most so many each, with the length they are padded to.

    Shorter windows get lots of their own where enough of them are together to save more than a lot costs.
    """
    unit = -(-window // _LENGTHS)
    padded = np.minimum(-(-shown[positions] // unit) * unit, window)
    lengths = np.unique(padded)
    done = 0
    for length, longer in zip(lengths, [*lengths[1:], None], strict=True):
        alike = positions[(padded > done) & (padded <= length)]
        if longer is None or len(alike) * (longer - length) >= _WORTH:
            done = length
            for start in range(0, len(alike), at_most):
                yield alike[start : start + at_most], int(length)
