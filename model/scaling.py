"""Scalers of channels and targets, from the training cells and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.artifact import ChannelScaling, TargetScaling
from model.dataset import WindowSet
from model.schema import Target
from model.training_config import TrainingConfigError

_TAIL_PCT = 0.5  # of values at either end count as the value at that percentile: one glitch must not set the scale


def fit_channels(windows: WindowSet, train_cells: Sequence[str]) -> tuple[ChannelScaling, ...]:
    """Mean and standard deviation of each channel over the steps of the training cells."""
    chosen = np.array([cell_id in set(train_cells) for cell_id in windows.cell_ids], bool)
    steps = windows.steps[chosen[windows.step_cell]]
    return tuple(_channel(steps[:, channel]) for channel in range(steps.shape[1]))


def fit_targets(
    windows: WindowSet, train_rows: NDArray[np.int64], targets: Sequence[Target]
) -> tuple[TargetScaling, ...]:
    """Mean and standard deviation of each target's labels in the network's space, over the training windows."""
    found = []
    for index, target in enumerate(targets):
        label = windows.labels[train_rows, index].astype(np.float64)
        label = label[np.isfinite(label)]
        if not len(label):
            do = "leave it out, or give recordings that reach it"
            raise TrainingConfigError(f"targets: no training cell has a label for {target.name}: {do}")
        spread = np.log1p(label) if target.kind == "rul" else label
        std = float(spread.std())
        found.append(
            TargetScaling(mean=float(spread.mean()), std=std if std > 1e-6 else 1.0, label_mean=float(label.mean()))
        )
    return tuple(found)


def to_network_space(
    labels: NDArray[np.float32], targets: Sequence[Target], scaling: Sequence[TargetScaling]
) -> NDArray[np.float32]:
    """Labels [n, T] in natural units -> what the network is trained to say, float32 [n, T]."""
    scaled = labels.copy()
    for index, (target, scale) in enumerate(zip(targets, scaling, strict=True)):
        value = np.log1p(scaled[:, index]) if target.kind == "rul" else scaled[:, index]
        scaled[:, index] = (value - np.float32(scale.mean)) / np.float32(scale.std)
    return scaled


def from_network_space(
    values: NDArray[np.float32], targets: Sequence[Target], scaling: Sequence[TargetScaling]
) -> NDArray[np.float32]:
    """The inverse of `to_network_space`: float32 [n, T]."""
    natural = values.copy()
    for index, (target, scale) in enumerate(zip(targets, scaling, strict=True)):
        value = natural[:, index] * np.float32(scale.std) + np.float32(scale.mean)
        natural[:, index] = np.expm1(value) if target.kind == "rul" else value
    return natural


def _channel(values: NDArray[np.float32]) -> ChannelScaling:
    values = values[np.isfinite(values)].astype(np.float64)
    if not len(values):
        return ChannelScaling(mean=0.0, std=1.0)  # never shown in training: stays masked to the network
    clipped = np.clip(values, *np.percentile(values, [_TAIL_PCT, 100 - _TAIL_PCT]))
    std = float(clipped.std())
    return ChannelScaling(mean=float(clipped.mean()), std=std if std > 1e-6 else 1.0)
