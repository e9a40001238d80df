"""The LSTM over windows of 200 steps on a CPU, against what a core can multiply; one worker and two."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.core import best_rates, together, turns_a_core_second
from bench.table import Line, Row, Skipped
from model.artifact import Artifact, load
from model.lstm_kernel import BF16_SUPPORTED
from model.predictor import Precision, Predictor

WINDOWS = 256  # batch.max_windows as shipped
SECONDS = 3.0
SIDE = 512  # of the square matrices whose product is the roof
PRODUCTS = 40  # about as long as WINDOWS windows


def rows() -> Iterator[Line]:
    """Windows of the artifact ``sample`` a second. What the batcher makes of it is in ``bench.batching``."""
    artifact = load("sample")
    roof, bare = best_rates((PRODUCTS * 2.0 * SIDE**3, sgemm), (WINDOWS, bare_run(artifact)))
    yield Row("LSTM L=200, CPU, bare predict", "windows", "sgemm on this core", roof / flop(artifact), bare)
    if BF16_SUPPORTED:
        exact, rounded = best_rates(*((WINDOWS, bare_run(artifact, precision)) for precision in ("fp32", "bf16")))
        yield Row("the same in bf16", "windows", "in fp32", exact, rounded)
    else:
        yield Skipped("the same in bf16", "no AVX512-BF16")

    one, two = (sum(together(_worker, SECONDS, workers)) for workers in (1, 2))
    one_sgemm, two_sgemm = (sum(together(_multiplier, SECONDS, workers)) for workers in (1, 2))
    # Two threads of one core share its multipliers, and then the bar means nothing: sgemm tells.
    bar_ratio = 0.9 if two_sgemm >= 1.8 * one_sgemm else None
    yield Row("sgemm, two processes", "products", "twice one process", 2 * one_sgemm, two_sgemm)
    yield Row("LSTM L=200, CPU, two workers", "windows", "twice one worker", 2 * one, two, bar_ratio)


def flop(artifact: Artifact) -> float:
    """Multiplications and additions in the products of one window."""
    lstm = artifact.forecaster.network.lstm
    hidden = lstm.hidden_size
    inputs = [lstm.input_size] + [hidden] * (lstm.num_layers - 1)
    return float(artifact.manifest.window * sum(2 * 4 * hidden * (width + hidden) for width in inputs))


def bare_run(artifact: Artifact, precision: Precision = "fp32") -> Callable[[], object]:
    """Predicts as many windows as the service puts into a batch."""
    predictor = Predictor(artifact, "cpu", precision)
    predictor.warm(WINDOWS)
    windows = sample_windows(artifact, WINDOWS)
    return lambda: predictor.predict(windows, WINDOWS)


def sample_windows(artifact: Artifact, count: int) -> NDArray[np.float32]:
    """Windows of plausible readings, float32 [count, L, C]."""
    scaling = artifact.manifest.channel_scaling
    mean, std = [channel.mean for channel in scaling], [channel.std for channel in scaling]
    shape = (count, artifact.manifest.window, len(mean))
    return np.random.default_rng(0).normal(mean, std, shape).astype(np.float32)


def sgemm() -> None:
    """``PRODUCTS`` products of square matrices."""
    multiply = product()
    for _ in range(PRODUCTS):
        multiply()


def product() -> Callable[[], object]:
    """A product by oneDNN: what torch takes otherwise is slower on some processors."""
    left, right = torch.randn(SIDE, SIDE).to_mkldnn(), torch.randn(SIDE, SIDE).to_mkldnn()
    return lambda: nn.functional.linear(left, right)


def _worker(core: int, seconds: float) -> float:
    """Windows per second of one worker process on one core."""
    torch.set_num_threads(1)
    return WINDOWS * turns_a_core_second(bare_run(load("sample")), core, seconds)


def _multiplier(core: int, seconds: float) -> float:
    """Products per second of one process on one core."""
    torch.set_num_threads(1)
    return turns_a_core_second(product(), core, seconds)
