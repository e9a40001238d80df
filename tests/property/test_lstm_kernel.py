from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import model.predictor
from model.artifact import load
from model.lstm_kernel import BF16_SUPPORTED, LANES, ROWS, SUPPORTED, FusedLstm
from model.predictor import Predictor
from tests.small_model import random_windows, small_artifact

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="no AVX2 with FMA")
needs_bf16 = pytest.mark.skipif(not BF16_SUPPORTED, reason="no AVX512-BF16")
each_type = pytest.mark.parametrize("bf16", [False, pytest.param(True, marks=needs_bf16)])


def drawn(inputs: int, hidden: int, layers: int, spread: float, seed: int) -> nn.LSTM:
    torch.manual_seed(seed)
    lstm = nn.LSTM(inputs, hidden, layers, batch_first=True).requires_grad_(False)
    for weights in lstm.parameters():
        weights.normal_(0, spread)
    return lstm


def newest(lstm: nn.LSTM, steps: Tensor) -> Tensor:
    exact = nn.LSTM(lstm.input_size, lstm.hidden_size, lstm.num_layers, batch_first=True).double()
    exact.load_state_dict(lstm.state_dict())
    with torch.no_grad():
        return exact(steps.double())[0][:, -1]


@each_type
@settings(deadline=None)
@given(
    n=st.integers(0, 3 * ROWS + 1),
    length=st.integers(1, 40),
    inputs=st.integers(1, 40),
    hidden=st.integers(1, 3 * LANES),
    layers=st.integers(1, 3),
    spread=st.sampled_from([0.05, 0.2]),
    seed=st.integers(0, 2**20),
)
def test_the_kernel_says_what_an_lstm_in_doubles_says_whatever_its_shape(
    bf16: bool, n: int, length: int, inputs: int, hidden: int, layers: int, spread: float, seed: int
) -> None:
    lstm = drawn(inputs, hidden, layers, spread, seed)
    steps = torch.randn(n, length, inputs)
    found, _ = FusedLstm(lstm, bf16=bf16)(steps)
    assert found.shape == (n, 1, hidden)
    torch.testing.assert_close(found[:, 0].double(), newest(lstm, steps), rtol=0, atol=0.03 if bf16 else 1e-5)


@needs_bf16
def test_in_bf16_the_kernel_errs_less_than_torch_does() -> None:
    for seed in range(5):
        lstm = drawn(33, 64, 2, 0.1, seed)
        steps = torch.randn(64, 40, 33)
        exact = newest(lstm, steps)
        ours = FusedLstm(lstm, bf16=True)(steps)[0][:, 0]
        with torch.no_grad():
            torchs = drawn(33, 64, 2, 0.1, seed).bfloat16()(steps.bfloat16())[0][:, -1]
        assert (ours - exact).abs().mean() < (torchs - exact).abs().mean()


def test_gates_are_exact_to_a_millionth_however_far_they_are_driven() -> None:
    lstm = nn.LSTM(1, 5, batch_first=True).requires_grad_(False)
    torch.manual_seed(0)
    for gain in (0.1, 1.0, 20.0, 1000.0):
        lstm.weight_ih_l0.normal_(0, gain)
        steps = torch.linspace(-3, 3, 4001)[:, None, None]
        torch.testing.assert_close(FusedLstm(lstm)(steps)[0][:, 0].double(), newest(lstm, steps), rtol=0, atol=1e-6)


@each_type
@given(first=st.integers(0, 70), count=st.integers(1, 70), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_a_window_is_the_same_to_the_last_bit_whoever_its_neighbours_are(
    bf16: bool, first: int, count: int, seed: int
) -> None:
    fused = FusedLstm(drawn(4, 33, 2, 0.2, seed), bf16=bf16)
    steps = torch.randn(140, 9, 4)
    alone = fused(steps[first : first + count])[0]
    assert torch.equal(alone, fused(steps)[0][first : first + count])


def test_steps_may_lie_in_memory_in_any_order() -> None:
    fused = FusedLstm(drawn(4, 8, 2, 0.2, 0))
    steps = torch.randn(6, 5, 7).permute(2, 0, 1)[:, :, :4]
    assert torch.equal(fused(steps)[0], fused(steps.clone(memory_format=torch.contiguous_format))[0])


def test_steps_of_another_width_or_type_are_refused() -> None:
    fused = FusedLstm(drawn(4, 8, 1, 0.2, 0))
    for steps in (torch.zeros(2, 3, 5), torch.zeros(2, 3, 4, dtype=torch.float64)):
        with pytest.raises(ValueError, match="float32"):
            fused(steps)


@each_type
def test_a_weight_that_is_not_a_number_shows(bf16: bool) -> None:
    lstm = drawn(4, 8, 2, 0.2, 0)
    lstm.weight_hh_l0[3, 3] = torch.nan
    assert FusedLstm(lstm, bf16=bf16)(torch.randn(3, 4, 4))[0].isnan().all()


def test_threads_may_share_a_kernel() -> None:
    fused = FusedLstm(drawn(4, 33, 2, 0.2, 0))
    batches = [torch.randn(40, 50, 4) for _ in range(16)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda steps: fused(steps)[0], batches))
    assert all(torch.equal(found, fused(steps)[0]) for found, steps in zip(together, batches, strict=True))


@each_type
@pytest.mark.parametrize("name", ["sample", "cycle"])
def test_the_shipped_models_answer_as_torch_does_in_bf16_to_three_digits(name: str, bf16: bool) -> None:
    artifact = load(name)
    windows = random_windows(artifact.manifest, 150)
    predictor = Predictor(artifact, "cpu", "bf16" if bf16 else "fp32")
    assert isinstance(predictor._forecaster.network.lstm, FusedLstm)
    expected = artifact.forecaster(torch.from_numpy(windows))
    close = 1e-2 if bf16 else 1e-5
    found = torch.from_numpy(predictor.predict(windows, 150))
    # Random windows are strange enough for lives of ten thousands of cycles: these are compared as they are predicted.
    logs = artifact.forecaster.log_target
    found, expected = (torch.where(logs, torch.log1p(each), each) for each in (found, expected))
    torch.testing.assert_close(found, expected, rtol=close, atol=close)


def test_torch_computes_where_the_processor_lacks_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = small_artifact()
    monkeypatch.setattr(model.predictor, "BF16_SUPPORTED", False)
    assert isinstance(Predictor(artifact, "cpu", "bf16")._forecaster.network.lstm, nn.LSTM)
    windows = random_windows(artifact.manifest, 20)
    fused = Predictor(artifact, "cpu", "fp32").predict(windows, 20)
    monkeypatch.setattr(model.predictor, "SUPPORTED", False)
    plain = Predictor(artifact, "cpu", "fp32")
    assert isinstance(plain._forecaster.network.lstm, nn.LSTM)
    torch.testing.assert_close(torch.from_numpy(fused), torch.from_numpy(plain.predict(windows, 20)))


def test_vectors_of_eight_lanes_do_as_well() -> None:
    code = """
import torch
from model.lstm_kernel import BF16_SUPPORTED, LANES, SUPPORTED, FusedLstm
assert (LANES, SUPPORTED, BF16_SUPPORTED) == (8, True, False)
torch.manual_seed(0)
lstm = torch.nn.LSTM(5, 20, 2, batch_first=True).requires_grad_(False)
steps = torch.randn(11, 30, 5)
torch.testing.assert_close(FusedLstm(lstm)(steps)[0][:, 0], lstm(steps)[0][:, -1], rtol=0, atol=1e-5)
"""
    narrow = os.environ | {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=narrow).returncode == 0
