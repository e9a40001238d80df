"""The kernels on a real GPU; their arithmetic is held without one in `tests.property.test_cuda_kernels`."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model.artifact import load
from model.cuda_kernels import missing
from model.predictor import Predictor
from tests.small_model import random_windows, small_artifact

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def newest(lstm: nn.LSTM, steps: Tensor) -> Tensor:
    with torch.no_grad():
        return copy.deepcopy(lstm).double()(steps.double())[0][:, -1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("n", "length", "inputs", "hidden", "layers"),
    [
        (0, 5, 5, 64, 2),
        (1, 200, 5, 64, 2),
        (17, 3, 33, 64, 2),
        (100, 1, 1, 8, 3),
        (4500, 20, 5, 64, 2),
        (9000, 20, 33, 40, 2),
    ],
)
def test_the_kernel_says_what_an_lstm_in_doubles_says_to_the_digits_of_its_type(
    dtype: torch.dtype, n: int, length: int, inputs: int, hidden: int, layers: int
) -> None:
    from model.lstm_cuda import CudaLstm

    torch.manual_seed(n)
    lstm = nn.LSTM(inputs, hidden, layers, batch_first=True).requires_grad_(False).cuda()
    steps = torch.randn(n, length, inputs, device="cuda").to(dtype)
    found, _ = CudaLstm(lstm, dtype)(steps)
    assert found.shape == (n, 1, hidden)
    atol = 4e-3 if dtype == torch.float16 else 3e-2
    torch.testing.assert_close(found[:, 0].double(), newest(lstm, steps), rtol=0, atol=atol)


def test_a_window_is_the_same_to_the_last_bit_whoever_its_neighbours_are() -> None:
    from model.lstm_cuda import CudaLstm

    torch.manual_seed(0)
    fused = CudaLstm(nn.LSTM(5, 64, 2, batch_first=True).requires_grad_(False).cuda(), torch.float16)
    steps = torch.randn(300, 50, 5, device="cuda", dtype=torch.float16)
    whole = fused(steps)[0]
    for first, count in ((0, 1), (7, 16), (100, 200)):
        assert torch.equal(fused(steps[first : first + count])[0], whole[first : first + count])


def test_a_weight_that_is_not_a_number_shows() -> None:
    from model.lstm_cuda import CudaLstm

    lstm = nn.LSTM(4, 8, 2, batch_first=True).requires_grad_(False).cuda()
    lstm.weight_hh_l0[3, 3] = torch.nan
    steps = torch.randn(3, 4, 4, device="cuda", dtype=torch.float16)
    assert CudaLstm(lstm, torch.float16)(steps)[0].isnan().all()


@pytest.mark.parametrize("name", ["sample", "cycle"])
def test_the_shipped_models_answer_on_a_gpu_as_on_the_cpu_and_find_the_same_strange(name: str) -> None:
    from model.lstm_cuda import CudaLstm
    from model.novelty_cuda import CudaNovelty
    from model.scaler_cuda import CudaScaler

    artifact = load(name)
    windows = random_windows(artifact.manifest, 3000)
    windows[::2] /= 50  # most of the others are strange
    exact = Predictor(artifact, "cpu", "fp32").answer(windows, 3000)
    predictor = Predictor(artifact, "cuda")
    assert isinstance(predictor._forecaster.network.lstm, CudaLstm)
    assert isinstance(predictor._forecaster.scaler, CudaScaler)
    found = predictor.answer(windows, 3000)
    assert isinstance(predictor._graphs._answering.novelty, CudaNovelty)  # type: ignore[union-attr]
    torch.testing.assert_close(*map(torch.from_numpy, (found.quantiles, exact.quantiles)), rtol=0.02, atol=0.02)
    assert (found.strange != exact.strange).mean() < 0.002, "only what lies on the limit itself"
    assert exact.strange.any()


def test_cudnn_stands_in_where_there_are_more_units_than_fit() -> None:
    from model.artifact import NetworkShape
    from model.lstm_cuda import MOST_HIDDEN

    artifact = small_artifact(network=NetworkShape(hidden_dim=2 * MOST_HIDDEN))
    predictor = Predictor(artifact, "cuda")
    assert isinstance(predictor._forecaster.network.lstm, nn.LSTM)
    windows = random_windows(artifact.manifest, 20)
    exact = Predictor(artifact, "cpu", "fp32").predict(windows, 20)
    torch.testing.assert_close(*map(torch.from_numpy, (predictor.predict(windows, 20), exact)), rtol=0.05, atol=0.02)


def test_torch_computes_where_no_kernel_can_be_started(tmp_path: Path) -> None:
    code = """
import torch
from model.artifact import load
from model.cuda_kernels import missing
from model.predictor import Predictor

assert "C compiler" in missing(torch.device("cuda"))
predictor = Predictor(load("cycle"), "cuda")
assert isinstance(predictor._forecaster.network.lstm, torch.nn.LSTM)
predictor.warm(16)
"""
    none = os.environ | {"CC": "/no/compiler", "TRITON_CACHE_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=none).returncode == 0


def test_kernels_run_on_this_gpu() -> None:
    assert not missing(torch.device("cuda"))
