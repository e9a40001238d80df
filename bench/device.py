"""The LSTM on a GPU, end to end from windows on the host, against what the device can multiply and move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from bench.model import sample_windows
from bench.table import Line, Row, Skipped
from model.artifact import Artifact, load
from model.network import BatteryLifespanPredictor
from model.predictor import CUDA_BUCKETS, Predictor

WINDOWS = 16_384
SIDE = 8192  # of the square matrices whose product is a roof
ROUNDS = 5


def rows() -> Iterator[Line]:
    """Windows per second under fp16 autocast."""
    if torch.cuda.is_available():
        yield from device_rows(load("sample"), "cuda", WINDOWS, SIDE)
    else:
        yield Skipped("LSTM L=200, GPU, end to end from host windows", "no CUDA device")


def device_rows(artifact: Artifact, device: str, count: int, side: int) -> Iterator[Row]:
    """The network alone on what lies on the device already; windows on the host to quantiles on the host."""
    predictor = Predictor(artifact, device)
    predictor.warm(count)
    windows = predictor.pinned(sample_windows(artifact, count))
    network, length = artifact.forecaster.network, artifact.manifest.window
    dtype = torch.float16 if predictor.precision == "fp16" else torch.float32
    bound = unfused_bound(network, length, device, dtype, side)
    kernels = kernels_alone(network, length, device, dtype)
    whole = count / _best_s(lambda: predictor.predict(windows, count), device)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    yield Row(f"LSTM L=200, {name}, kernels alone", "windows", "unfused bound", bound, kernels)
    yield Row(f"LSTM L=200, {name}, end to end from host windows", "windows", "unfused bound", bound, whole, 0.5)
    yield Row(f"LSTM L=200, {name}, what copies and batches leave", "windows", "kernels alone", kernels, whole, 0.9)


def unfused_bound(network: BatteryLifespanPredictor, length: int, device: str, dtype: torch.dtype, side: int) -> float:
    """Windows per second if products ran at the measured rate, and what lies between them at that of a copy.

    Between two products a step writes and reads its four gates, and reads and writes state and memory.
    """
    hidden, layers = network.lstm.hidden_size, network.lstm.num_layers
    inputs = [network.lstm.input_size] + [hidden] * (layers - 1)
    products = length * sum(2 * 4 * hidden * (width + hidden) for width in inputs)
    moved_bytes = length * layers * 12 * hidden * dtype.itemsize
    block = torch.ones(side, side, device=device, dtype=dtype)
    flop_a_second = 2.0 * side**3 / _best_s(lambda: block @ block, device)
    bytes_a_second = 2.0 * block.nbytes / _best_s(block.clone, device)
    return 1.0 / (products / flop_a_second + moved_bytes / bytes_a_second)


def kernels_alone(network: BatteryLifespanPredictor, length: int, device: str, dtype: torch.dtype) -> float:
    """Windows per second of the LSTM at the largest bucket, inputs and outputs on the device."""
    batch = CUDA_BUCKETS[-1] if device == "cuda" else 64
    lstm = torch.nn.LSTM(network.lstm.input_size, network.lstm.hidden_size, network.lstm.num_layers, batch_first=True)
    lstm = lstm.to(device, dtype).eval()
    lstm.flatten_parameters()
    steps = torch.randn(batch, length, network.lstm.input_size).to(device, dtype)
    with torch.inference_mode():
        return batch / _best_s(lambda: lstm(steps), device)


def _best_s(run: Callable[[], object], device: str) -> float:
    best_s = float("inf")
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        best_s = min(best_s, time.perf_counter() - began)
    return best_s
