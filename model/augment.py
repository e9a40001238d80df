"""What training hides of a window: nothing that a live cell could not lack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.training_config import Augmentation


def shown_steps(
    rng: np.random.Generator, length: NDArray[np.int64], window: int, augment: Augmentation, min_steps: int
) -> NDArray[np.int64]:
    """How many of its newest steps each window of ``length`` [n] shows: int64 [n], never fewer than ``min_steps``."""
    newest = rng.integers(min(min_steps, window), window + 1, len(length))
    return np.where(rng.random(len(length)) < augment.truncate, np.minimum(newest, length), length)


def masked_channels(rng: np.random.Generator, count: int, channels: int, augment: Augmentation) -> NDArray[np.bool_]:
    """Which channels each of ``count`` windows does not show at all: bool [count, channels]."""
    return rng.random((count, channels), np.float32) < augment.mask
