"""What training hides of a window: nothing that a live cell could not lack."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from model.training_config import Augmentation


def augmented(windows: Tensor, augment: Augmentation, min_steps: int) -> Tensor:
    """Windows [n, L, C] after each its own draw of what `Augmentation` says; at least ``min_steps`` steps stay."""
    count, length, channels = windows.shape
    device = windows.device
    newest = torch.randint(min(min_steps, length), length + 1, (count, 1), device=device)
    truncated = torch.rand(count, 1, device=device) < augment.truncate
    gone = truncated & (torch.arange(length, device=device) < length - newest)  # [n, L]
    masked = torch.rand(count, channels, device=device) < augment.mask  # [n, C]
    return windows.masked_fill(gone[:, :, None] | masked[:, None, :], math.nan)
