"""The arithmetic of the GPU's kernels without a GPU: in Triton's interpreter, and as far as its compiler goes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA on Linux")

LSTM = """
import torch
from torch import nn
from model.lstm_cuda import CudaLstm

torch.manual_seed(0)
for n, length, inputs, hidden, layers in (
    (0, 3, 4, 64, 2), (1, 1, 1, 1, 1), (20, 9, 5, 64, 2), (70, 5, 33, 20, 3), (130, 4, 3, 8, 1)
):
    lstm = nn.LSTM(inputs, hidden, layers, batch_first=True).requires_grad_(False)
    steps = torch.randn(n, length, inputs).half()
    found, _ = CudaLstm(lstm, torch.float16)(steps)
    across, _ = CudaLstm(lstm, torch.float16)(steps.permute(2, 1, 0).contiguous().permute(2, 1, 0))
    assert torch.equal(found, across), "steps may lie in memory in any order"
    with torch.no_grad():
        expected = lstm.double()(steps.double())[0][:, -1]
    assert found.shape == (n, 1, hidden)
    torch.testing.assert_close(found[:, 0].double(), expected, rtol=0, atol=1e-3)

lstm = nn.LSTM(4, 8, 2, batch_first=True).requires_grad_(False)
for steps in (torch.zeros(2, 3, 5, dtype=torch.float16), torch.zeros(2, 3, 4)):
    try:
        CudaLstm(lstm, torch.float16)(steps)
    except ValueError as error:
        assert "steps must be torch.float16 [n, L, 4]" in str(error)
    else:
        raise AssertionError("the kernel would have read beyond them")
lstm.weight_ih_l0 *= 3e4
driven, _ = CudaLstm(lstm, torch.float16)(torch.randn(50, 3, 4).half())
assert (driven.abs() <= 1).all(), "no gate is driven too far"
lstm.weight_hh_l0[3, 3] = torch.nan
assert CudaLstm(lstm, torch.float16)(torch.randn(3, 4, 4).half())[0].isnan().all(), "a weight that is no number shows"
"""

SCALER = """
import torch
from model.network import Scaler
from model.scaler_cuda import CudaScaler
from model.schema import CycleSteps, SampleSteps
from tests.small_model import random_windows, small_artifact

for steps in (SampleSteps(window=200), SampleSteps(window=7), CycleSteps(window=12)):
    artifact = small_artifact(steps)
    channels = len(steps.channels)
    windows = torch.from_numpy(random_windows(artifact.manifest, 9))
    windows[0, -1] = torch.tensor([1e9, -1e9, torch.inf] + [0.0] * (channels - 3))
    for integral in ([], [0.0] * channels, [0.1 * (at + 1) for at in range(channels)]):
        plain = artifact.forecaster.scaler
        plain = Scaler(plain.mean.tolist(), plain.std.tolist(), integral)
        found = CudaScaler(plain, torch.float16)(windows)
        torch.testing.assert_close(found, plain(windows).half(), rtol=2e-3, atol=2e-3)
        assert CudaScaler(plain, torch.float16)(windows[:0]).shape == (0, *found.shape[1:])
"""

NOVELTY = """
import torch
from bench.model import sample_windows
from model.artifact import load
from model.novelty_cuda import CudaNovelty
from tests.small_model import random_windows

for name in ("sample", "cycle"):
    artifact = load(name)
    novelty = artifact.novelty
    ordinary, other = sample_windows(artifact, 30), random_windows(artifact.manifest, 30)
    windows = torch.cat((torch.from_numpy(ordinary), torch.from_numpy(other)))
    windows[0] = windows[0, :1]  # nothing moves
    windows[1, 100:, 1] = torch.nan
    kernel = CudaNovelty(novelty)
    torch.testing.assert_close(kernel.told(windows), novelty.told(windows), rtol=1e-4, atol=1e-4, equal_nan=True)
    torch.testing.assert_close(kernel.definition(windows), novelty.definition(windows), rtol=1e-4, atol=1e-4)
    assert kernel(windows[:0]).shape == (0,)
"""

COMPILED = """
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from model.lstm_cuda import _layer
from model.novelty_cuda import _summarise
from model.scaler_cuda import _scale

for capability, shared_bytes in ((80, 166_912), (86, 101_376), (90, 232_448)):  # compute capability 8.0, 8.6, 9.0
    for rows, warps in ((16, 8), (32, 8), (64, 4)):
        names = dict(steps="*fp16", weights="*fp16", biases="*fp32", out="*fp16", n="i32",
                     row_stride="i32", step_stride="i32")
        constants = dict(length=200, known_inputs=64, inputs=64, units=64, rows=rows, hold_biases=rows <= 32,
                         newest=False, interpreted=False)
        source = ASTSource(_layer, names | dict.fromkeys(constants, "constexpr"), constants,
                           {(at,): [["tt.divisibility", 16]] for at in (0, 1, 2, 3, 5, 6)})
        options = dict(num_warps=warps, num_stages=1, enable_fp_fusion=True)
        made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
        assert made.metadata.shared <= shared_bytes, (capability, rows, made.metadata.shared)
    names = dict(windows="*fp32", mean="*fp32", std="*fp32", integral="*fp32", steps="*fp16")
    constants = dict(length=200, channels=3, padded_length=256, width=16, integrates=True)
    source = ASTSource(_scale, names | dict.fromkeys(constants, "constexpr"), constants)
    triton.compile(source, target=GPUTarget("cuda", capability, 32), options=dict(enable_fp_fusion=True))
    names = dict(windows="*fp32", numbers="*fp32")
    constants = dict(length=200, channels=3, size=24, padded_length=256, width=4)
    source = ASTSource(_summarise, names | dict.fromkeys(constants, "constexpr"), constants)
    triton.compile(source, target=GPUTarget("cuda", capability, 32), options=dict(enable_fp_fusion=True))
"""


def runs(code: str, **environment: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], check=False, env=os.environ | environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_the_lstm_says_what_an_lstm_in_doubles_says_whatever_its_shape() -> None:
    runs(LSTM, TRITON_INTERPRET="1")


def test_the_scaler_says_what_torch_says() -> None:
    runs(SCALER, TRITON_INTERPRET="1")


def test_windows_are_told_by_the_numbers_that_torch_tells_them_by() -> None:
    runs(NOVELTY, TRITON_INTERPRET="1")


def test_all_compile_for_each_generation_and_the_weights_fit_into_shared_memory() -> None:
    runs(COMPILED)
