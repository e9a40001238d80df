from __future__ import annotations

import numpy as np
import pytest
import torch

from model.predictor import CUDA_BUCKETS, Predictor
from model.schema import CycleSteps, SampleSteps
from model.train import train
from tests.fading import fading_cell
from tests.small_model import random_windows, small_artifact
from tests.unit.test_train import TINY

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
STEPS = [CycleSteps(window=64), SampleSteps(window=200)]


@pytest.mark.parametrize("steps", STEPS, ids=["cycle", "sample"])
def test_fp32_on_cuda_is_fp32_on_the_cpu(steps: CycleSteps | SampleSteps) -> None:
    artifact = small_artifact(steps)
    windows = random_windows(artifact.manifest, 70)
    on_cpu = Predictor(artifact, "cpu", "fp32").predict(windows, 70)
    on_cuda = Predictor(artifact, "cuda", "fp32")
    on_cuda.warm(70)
    np.testing.assert_allclose(on_cuda.predict(windows, 70), on_cpu, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("steps", STEPS, ids=["cycle", "sample"])
def test_half_precision_on_cuda_agrees_to_its_digits(steps: CycleSteps | SampleSteps, precision: str) -> None:
    artifact = small_artifact(steps)
    windows = random_windows(artifact.manifest, 70)
    exact = Predictor(artifact, "cpu", "fp32").predict(windows, 70)
    half = Predictor(artifact, "cuda", precision)  # type: ignore[arg-type]
    half.warm(70)
    np.testing.assert_allclose(half.predict(windows, 70), exact, rtol=0.05, atol=0.02)


def test_auto_is_fp16_on_cuda_with_weights_cast_once() -> None:
    predictor = Predictor(small_artifact())
    assert (predictor.device.type, predictor.precision) == ("cuda", "fp16")
    assert {p.dtype for p in predictor._forecaster.network.parameters()} == {torch.float16}
    assert {b.dtype for b in (predictor._forecaster.scaler.mean, predictor._forecaster.offset)} == {torch.float32}


@pytest.mark.parametrize("count", [1, 2, 16, 17, 300, CUDA_BUCKETS[-1] + 5])
def test_padding_does_not_show_on_cuda(count: int) -> None:
    artifact = small_artifact()
    windows = random_windows(artifact.manifest, count)
    predictor = Predictor(artifact, "cuda", "fp32")
    expected = artifact.forecaster(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(predictor.predict(windows, count), expected, rtol=1e-3, atol=1e-3)


def test_training_under_autocast_learns_on_cuda(tmp_path: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    fleet = [fading_cell(f"C{index}", fade=0.004 + 0.001 * index, cycles=50) for index in range(10)]
    config = TINY.model_copy(update={"epochs": 25, "skip": True, "dropout": 0.0, "hidden": 16})
    test = train(fleet, config, tmp_path, device="cuda").metrics["test"]
    assert isinstance(test, dict)
    soh, mean = test["targets"]["soh"], test["baselines"]["soh"]["mean"]  # type: ignore[index,call-overload]
    assert soh["mae"] < 0.5 * mean["mae"]
