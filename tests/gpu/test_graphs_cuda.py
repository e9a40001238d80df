"""Captured graphs on a real GPU: they answer as the module does, and a new model is captured while another answers."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from model.predictor import Predictor
from model.schema import SampleSteps
from tests.small_model import random_windows, small_artifact

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
STEPS = SampleSteps(window=200)
PRECISIONS = ["fp32", "fp16", "bf16"]


def eager(predictor: Predictor, windows: np.ndarray) -> np.ndarray:
    half = torch.autocast("cuda", torch.float16, enabled=predictor.precision == "fp16")
    with torch.inference_mode(), half:
        return predictor._forecaster(torch.from_numpy(windows).cuda()).cpu().numpy()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_of_all_shapes_answer_as_the_module_does_in_any_order(precision: str) -> None:
    artifact = small_artifact(STEPS)
    predictor = Predictor(artifact, "cuda", precision)  # type: ignore[arg-type]
    predictor.warm()
    windows = random_windows(artifact.manifest, 9000)
    expected = eager(predictor, windows)
    for n in (1, 9000, 17, 300, 4096, 5, 1025, 9000):
        np.testing.assert_allclose(predictor.predict(windows, n), expected[:n], rtol=2e-2, atol=2e-2)


def test_pinned_windows_are_read_from_where_they_lie() -> None:
    artifact = small_artifact(STEPS)
    predictor = Predictor(artifact, "cuda", "fp32")
    predictor.warm(1024)
    windows = random_windows(artifact.manifest, 3000)
    pinned = predictor.pinned(windows)
    assert torch.from_numpy(pinned).is_pinned()
    assert not torch.from_numpy(windows).is_pinned()
    expected = predictor.predict(windows, 3000)
    for slot in predictor._graphs._slots:  # type: ignore[union-attr]
        slot.host.fill_(float("nan"))
    assert np.array_equal(predictor.predict(pinned, 3000), expected)
    pinned[:] = windows[::-1]
    assert np.array_equal(predictor.predict(pinned, 3000), predictor.predict(windows[::-1].copy(), 3000))


def test_model_is_captured_while_another_answers_and_neither_disturbs_the_other() -> None:
    first, second = small_artifact(STEPS, seed=1), small_artifact(STEPS, seed=2)
    answering = Predictor(first, "cuda", "fp16")
    answering.warm()
    windows = random_windows(first.manifest, 2000)
    expected = answering.predict(windows, 2000)
    captured = threading.Event()
    made: list[Predictor] = []

    def capture() -> None:
        for _ in range(3):
            made.append(Predictor(second, "cuda", "fp16"))
            made[-1].warm()
        captured.set()

    capturing = threading.Thread(target=capture)
    capturing.start()
    rounds = 0
    while not captured.is_set():
        assert np.array_equal(answering.predict(windows, 2000), expected)
        rounds += 1
    capturing.join()
    assert rounds > 3
    np.testing.assert_allclose(made[-1].predict(windows, 2000), eager(made[-1], windows), rtol=2e-2, atol=2e-2)


def test_models_that_come_and_go_leave_no_memory_behind() -> None:
    artifact = small_artifact(STEPS)
    held = []
    for _ in range(6):
        predictor = Predictor(artifact, "cuda", "fp16")
        predictor.warm(1024)
        predictor.predict(random_windows(artifact.manifest, 10), 10)
        del predictor
        torch.cuda.synchronize()
        torch._C._cuda_clearCublasWorkspaces()  # it keeps one for every stream that ever multiplied, and streams recur
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[1]
