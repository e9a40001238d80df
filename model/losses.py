"""The loss of quantile forecasts whose labels may be unknown."""

from __future__ import annotations

import torch
from torch import Tensor


def pinball_loss(predicted: Tensor, label: Tensor, quantiles: Tensor) -> Tensor:
    """Mean pinball loss (Koenker and Bassett 1978), a scalar; each target weighs the same, however often it is known.

    predicted: [n, T, Q] at ``quantiles`` [Q]. label: [n, T], NaN where unknown: those give neither loss nor gradient.
    Without any known label the loss is zero.
    """
    return (pinball_sums(predicted, label, quantiles) * label_weights(label)).sum()


def pinball_sums(predicted: Tensor, label: Tensor, quantiles: Tensor) -> Tensor:
    """Each target's pinball losses, averaged over the quantiles and summed over the windows: [T]."""
    known = ~torch.isnan(label)  # [n, T]
    # Unknown labels are replaced before the arithmetic: NaN times zero would still poison the gradient.
    error = torch.where(known, label, predicted[..., 0].detach()).unsqueeze(-1) - predicted  # [n, T, Q]
    loss = torch.maximum(quantiles * error, (quantiles - 1) * error).mean(-1)  # [n, T]
    return torch.where(known, loss, 0.0).sum(0)


def label_weights(label: Tensor) -> Tensor:
    """What a known label of each target weighs in the mean loss over the windows, [T].

    Sums over any parts of the windows, so weighted, add up to the loss over all of them: how a step of the optimiser
    is cut into pieces, or shared among processes, does not show.
    """
    known = (~torch.isnan(label)).sum(0)  # [T]
    return torch.where(known > 0, 1.0 / known.clamp(min=1), 0.0) / (known > 0).sum().clamp(min=1)
