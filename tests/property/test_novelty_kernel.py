"""The compiled score of novelty, held against its definition."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.artifact import load
from model.novelty import Novelty
from model.schema import CycleSteps, SampleSteps

CYCLES, SAMPLES = CycleSteps(window=4), SampleSteps(period_s=60, window=40, stride=20)


def drawn(steps: CycleSteps | SampleSteps, clusters: int, rng: np.random.Generator) -> Novelty:
    novelty = Novelty(steps, clusters)
    for name, buffer in novelty.named_buffers():
        spread = rng.uniform(0.2, 2.0, buffer.shape) * (0.3 if name == "whiten" else 1.0)
        sign = -1.0 if name == "low" else rng.choice([-1.0, 1.0], buffer.shape) if name in ("mean", "origin") else 1.0
        buffer.copy_(torch.from_numpy(np.asarray(sign * spread)))
    return novelty


def windows_of(steps: CycleSteps | SampleSteps, n: int, rng: np.random.Generator) -> np.ndarray:
    """Windows that move, stand still, jump, begin late, or do not show a channel or a single reading."""
    shape = (n, steps.window, len(steps.channels))
    windows = rng.normal([3.5, 0.3, 25.0] if isinstance(steps, SampleSteps) else 1.0, 0.5, shape)
    for window in windows:
        channel, at = rng.integers(shape[2]), rng.integers(shape[1])
        match rng.integers(6):
            case 0:
                window[:, channel] = window[0, channel]
            case 1:
                window[at:, channel] += rng.normal(0, 30)
            case 2:
                window[:, channel] = np.nan
            case 3:
                window[at, channel] = np.nan
            case 4:
                window[: at + 1] = np.nan
    return windows.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.sampled_from([CYCLES, SAMPLES, SampleSteps(window=3)]),
    clusters=st.integers(1, 4),
    n=st.integers(0, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_compiled_scores_are_those_of_the_definition(steps, clusters, n, seed):
    rng = np.random.default_rng(seed)
    novelty = drawn(steps, clusters, rng)
    windows = torch.from_numpy(windows_of(steps, n, rng))
    torch.testing.assert_close(novelty(windows), novelty.definition(windows), rtol=2e-4, atol=2e-4)


def test_of_shipped_models_both_call_the_same_windows_strange():
    for name in ("sample", "cycle"):
        artifact = load(name)
        novelty = artifact.novelty
        scaling = artifact.manifest.channel_scaling
        mean, std = [each.mean for each in scaling], [each.std for each in scaling]
        shape = (500, artifact.manifest.window, len(scaling))
        drawn = np.random.default_rng(0).normal(mean, std, shape).astype(np.float32)
        windows = torch.from_numpy(np.concatenate((drawn, np.broadcast_to(drawn[:, -1:], shape))))
        torch.testing.assert_close(novelty(windows), novelty.definition(windows), rtol=1e-4, atol=1e-5)


def test_a_compiled_score_depends_on_its_own_window_alone():
    rng = np.random.default_rng(0)
    novelty = drawn(SAMPLES, 3, rng)
    windows = torch.from_numpy(windows_of(SAMPLES, 40, rng))
    alone = torch.cat([novelty(windows[at : at + 1]) for at in range(40)])
    assert torch.equal(alone, novelty(windows))
    assert not torch.equal(alone, alone.flip(0))


def test_of_another_device_than_a_cpu_the_definition_answers():
    novelty = drawn(SAMPLES, 2, np.random.default_rng(0)).to("meta")
    assert novelty(torch.empty(5, 40, 3, device="meta")).shape == (5,)
