from __future__ import annotations

import math

import pytest
import torch

from model.losses import pinball_loss

QUANTILES = torch.tensor([0.05, 0.5, 0.95])


def test_masked_labels_give_no_loss_and_no_gradient() -> None:
    predicted = torch.randn(4, 2, 3, requires_grad=True)
    label = torch.tensor([[0.1, math.nan], [math.nan, math.nan], [0.3, 2.0], [math.nan, 1.0]])
    pinball_loss(predicted, label, QUANTILES).backward()
    gradient = predicted.grad
    assert gradient is not None
    known = ~torch.isnan(label)
    assert (gradient[~known] == 0).all()
    assert (gradient[known] != 0).all()


def test_without_any_label_the_loss_is_zero_and_finite() -> None:
    predicted = torch.randn(4, 2, 3, requires_grad=True)
    loss = pinball_loss(predicted, torch.full((4, 2), math.nan), QUANTILES)
    loss.backward()
    assert loss == 0
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


def test_a_rarely_known_target_weighs_as_much_as_an_always_known_one() -> None:
    predicted = torch.zeros(100, 2, 3)
    label = torch.full((100, 2), math.nan)
    label[:, 0] = 1.0
    label[7, 1] = 3.0
    alone = [pinball_loss(predicted[:, i : i + 1], label[:, i : i + 1], QUANTILES) for i in range(2)]
    assert pinball_loss(predicted, label, QUANTILES) == pytest.approx(float(sum(alone)) / 2)


def test_the_best_constants_are_the_quantiles_of_the_labels() -> None:
    label = torch.linspace(0, 1, 1001).unsqueeze(-1)
    grid = torch.linspace(0, 1, 101)
    for index, quantile in enumerate(QUANTILES):
        losses = [pinball_loss(torch.full((1001, 1, 1), float(x)), label, QUANTILES[index : index + 1]) for x in grid]
        best = grid[int(torch.stack(losses).argmin())]
        assert float(best) == pytest.approx(float(quantile), abs=0.011)
