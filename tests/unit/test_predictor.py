from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from model.predictor import Predictor
from tests.small_model import random_windows, small_artifact


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    made = Predictor(small_artifact(), device="cpu", precision="fp32")
    made.warm(64)
    return made


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 33, 64, 65, 150])
def test_a_window_is_predicted_alike_however_many_come_with_it(predictor: Predictor, count: int) -> None:
    artifact = small_artifact()
    windows = random_windows(artifact.manifest, 150)
    quantiles = predictor.predict(windows, count)
    assert quantiles.shape == (count, 3, 3)
    assert quantiles.dtype == np.float32
    expected = artifact.forecaster(torch.from_numpy(windows[:count])).numpy()
    np.testing.assert_allclose(quantiles, expected, rtol=1e-5, atol=1e-5)


def test_what_earlier_calls_left_behind_does_not_show(predictor: Predictor) -> None:
    windows = random_windows(small_artifact().manifest, 5)
    before = predictor.predict(windows, 5)
    predictor.predict(np.full((64, 12, 32), 1e6, np.float32), 64)
    np.testing.assert_allclose(predictor.predict(windows, 5), before, rtol=1e-6, atol=1e-6)


def test_windows_beyond_n_are_not_read(predictor: Predictor) -> None:
    windows = random_windows(small_artifact().manifest, 8)
    other = windows.copy()
    other[3:] = 0
    assert np.array_equal(predictor.predict(windows, 3), predictor.predict(other, 3))


def test_bf16_on_a_cpu_agrees_to_its_three_digits() -> None:
    artifact = small_artifact()
    windows = random_windows(artifact.manifest, 20)
    exact = Predictor(artifact, "cpu", "fp32").predict(windows, 20)
    half = Predictor(artifact, "cpu", "bf16")
    assert half.precision == "bf16"
    np.testing.assert_allclose(half.predict(windows, 20), exact, rtol=0.05, atol=0.02)


def test_auto_on_a_cpu_is_fp32_so_that_every_process_answers_alike() -> None:
    predictor = Predictor(small_artifact(), device="cpu")
    predictor.warm(1)
    assert predictor.precision == "fp32"
    assert predictor.device == torch.device("cpu")
    assert predictor.model_id == small_artifact().model_id


def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(ValueError, match="CUDA"):
        Predictor(small_artifact(), device="cpu", precision="fp16")


def test_steps_and_schema_do_not_load_torch() -> None:
    code = "import sys, model.schema, model.steps, model.recording, model.truth; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_thread_of_its_own_takes_no_more_threads_than_torch_was_set_to() -> None:
    code = """
import threading, time, torch
torch.set_num_threads(1)
from model.predictor import Predictor
from tests.small_model import random_windows, small_artifact

artifact = small_artifact()
predictor = Predictor(artifact, "cpu", "fp32")
windows = random_windows(artifact.manifest, 8)

def others_s():
    began_s, own_s = time.process_time(), time.thread_time()
    for _ in range(200):
        predictor.predict(windows, 8)
    spent.append((time.process_time() - began_s) - (time.thread_time() - own_s))

spent = []
thread = threading.Thread(target=others_s)
thread.start()
thread.join()
raise SystemExit(spent[0] > 0.02)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
