"""Compiled updates are those of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bench.accuracy.lstm_training import Course, Windows, one_cycle, train
from model.network import BatteryLifespanPredictor

RATE, DECAY = 3e-3, 1e-3


def by_torch(network: BatteryLifespanPredictor, windows: Windows, course: Course, squared: tuple[int, ...]) -> None:
    """The same updates by torch's gradients, optimiser and schedule."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=len(course.drawn))
    for drawn, noise, kept in zip(course.drawn, course.noise, course.kept, strict=True):
        seen = torch.from_numpy(windows.steps[windows.newest[drawn][:, None] - windows.back])
        if noise.shape[1]:
            seen = seen + torch.from_numpy(noise)[:, None]
        read = network.lstm(seen)[0][:, -1] * torch.from_numpy(kept)
        said = network.head(torch.cat((read, seen[:, -1]), 1) if network.skip else read)
        wanted = torch.from_numpy(windows.wanted[drawn])
        error = torch.where(wanted.isnan(), 0.0, said - wanted)
        is_squared = torch.tensor([head in squared for head in range(said.shape[1])])
        optimiser.zero_grad()
        torch.where(is_squared, error**2, error.abs()).mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@pytest.mark.parametrize(
    ("length", "hidden", "heads", "skip", "noisy", "squared"),
    [
        (1, 8, 1, True, False, ()),
        (3, 32, 2, True, True, ()),
        (4, 5, 2, False, True, (1,)),
        (6, 17, 1, True, False, (0,)),
    ],
)
def test_what_is_trained_compiled_is_what_torch_trains(
    length: int, hidden: int, heads: int, skip: bool, noisy: bool, squared: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(length)
    inputs, batch, updates = 7, 16, 20
    wanted = rng.standard_normal((200, heads)).astype(np.float32)
    wanted[::5, 0] = np.nan
    windows = Windows(
        rng.standard_normal((260, inputs)).astype(np.float32),
        np.arange(60, 260),
        10 * np.arange(length - 1, -1, -1),
        wanted,
    )
    course = Course(
        rng.integers(0, 200, (updates, batch)),
        rng.standard_normal((updates, batch, inputs if noisy else 0)).astype(np.float32),
        ((rng.random((updates, batch, hidden)) > 0.2) / 0.8).astype(np.float32),
        one_cycle(updates, RATE),
    )
    torch.manual_seed(0)
    ours, theirs = (BatteryLifespanPredictor(inputs, hidden, 1, heads, skip=skip) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    before = ours.head.weight.clone()
    train(ours, windows, course, squared, DECAY)
    by_torch(theirs, windows, course, squared)
    assert (ours.head.weight - before).abs().max() > 1e-3
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-4)
