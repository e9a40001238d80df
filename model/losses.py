"""The loss of quantile forecasts whose labels may be unknown."""

from __future__ import annotations

import torch
from torch import Tensor


def pinball_loss(predicted: Tensor, label: Tensor, quantiles: Tensor) -> Tensor:
    """Mean pinball loss (Koenker and Bassett 1978), a scalar; each target weighs the same, however often it is known.

    predicted: [n, T, Q] at ``quantiles`` [Q]. label: [n, T], NaN where unknown: those give neither loss nor gradient.
    Without any known label the loss is zero.
    """
    known = ~torch.isnan(label)  # [n, T]
    # Unknown labels are replaced before the arithmetic: NaN times zero would still poison the gradient.
    error = torch.where(known, label, predicted[..., 0].detach()).unsqueeze(-1) - predicted  # [n, T, Q]
    loss = torch.maximum(quantiles * error, (quantiles - 1) * error).mean(-1)  # [n, T]
    known_per_target = known.sum(0)  # [T]
    per_target = torch.where(known, loss, 0.0).sum(0) / known_per_target.clamp(min=1)
    return per_target.sum() / (known_per_target > 0).sum().clamp(min=1)
