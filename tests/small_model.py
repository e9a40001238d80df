"""Models for tests that need some model and not a good one: an untrained artifact of either step kind, and a fake."""

from __future__ import annotations

import numpy as np
import torch

from model.answer import Answer
from model.artifact import Artifact, ChannelScaling, Manifest, NetworkShape, TargetScaling, build
from model.schema import CycleSteps, SampleSteps, Target

TARGETS = (Target(kind="soh"), Target(kind="capacity", horizon_cycles=50), Target(kind="rul"))


class FakeModel:
    """What the stream needs of a model besides its quantiles."""

    model_id = "fake@000000000000"

    def predict(self, windows: np.ndarray, n: int) -> np.ndarray:
        raise NotImplementedError

    def strange(self, windows: np.ndarray, n: int) -> np.ndarray:
        return np.zeros(n, bool)

    def answer(self, windows: np.ndarray, n: int) -> Answer:
        return Answer(self.predict(windows, n), self.strange(windows, n))

    def pinned(self, windows: np.ndarray) -> np.ndarray:
        return windows

    def padded(self, n: int) -> int:
        return n


def manifest_of(steps: SampleSteps | CycleSteps, **changes: object) -> Manifest:
    """A manifest for the steps; scaling that is not the identity, offsets of both signs."""
    fields: dict[str, object] = {
        "name": "small",
        "steps": steps,
        "channels": steps.channels,
        "window": steps.window,
        "channel_scaling": tuple(ChannelScaling(mean=0.5 + i, std=1.0 + i) for i in range(len(steps.channels))),
        "targets": TARGETS,
        "target_scaling": (
            TargetScaling(mean=0.9, std=0.1, label_mean=0.9, offset=0.3),
            TargetScaling(mean=0.8, std=0.1, label_mean=0.8, offset=-9.0),
            TargetScaling(mean=4.0, std=1.0, label_mean=80.0),
        ),
        "network": NetworkShape(hidden_dim=8),
    }
    return Manifest.model_validate(fields | changes)


def small_artifact(
    steps: SampleSteps | CycleSteps | None = None, seed: int = 0, network: NetworkShape | None = None
) -> Artifact:
    """Random weights."""
    torch.manual_seed(seed)
    manifest = manifest_of(steps or CycleSteps(window=12), network=network or NetworkShape(hidden_dim=8))
    return Artifact(manifest, build(manifest).requires_grad_(False).eval())


def random_windows(manifest: Manifest, count: int, seed: int = 0) -> np.ndarray:
    """float32 [count, L, C] of all fullnesses, with readings missing here and there."""
    rng = np.random.default_rng(seed)
    shape = (count, manifest.window, len(manifest.channels))
    windows = rng.normal(1, 3, shape).astype(np.float32)
    windows[rng.random(shape) < 0.05] = np.nan
    for row in windows:
        row[: rng.integers(0, manifest.window)] = np.nan
    return windows
