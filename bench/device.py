"""The model on a GPU: its LSTM beside cuDNN's, windows on the host to answers on the host, workers that share it."""

from __future__ import annotations

import asyncio
import copy
import os
import time
from collections.abc import Callable, Iterator

import torch

from bench.batching import LOAD, Counted
from bench.core import together
from bench.flow import in_memory, records
from bench.model import flop, sample_windows
from bench.table import Line, Row, Skipped
from model.artifact import Artifact, load
from model.predictor import CUDA_BUCKETS, Predictor
from stream.assembly import warm_kernels

BUCKETS = 8  # of the largest size: while one is computed another is copied
WINDOWS = BUCKETS * CUDA_BUCKETS[-1]
SIDE = 8192  # of the square matrices whose product is a roof
ROUNDS = 6
WORKERS = 4
SECONDS = 12.0
MAX_WINDOWS = 256  # of a batch, as shipped


def rows() -> Iterator[Line]:
    """Windows per second under fp16 autocast."""
    if not torch.cuda.is_available():
        yield Skipped("LSTM L=200, GPU, end to end from host windows", "no CUDA device")
        return
    artifact = load("sample")
    yield from network_rows(artifact, f"LSTM L=200, {torch.cuda.get_device_name()}")
    yield from pipeline_rows(artifact)


def network_rows(artifact: Artifact, path: str) -> Iterator[Row]:
    """The LSTM alone, on what lies on the device already; then all that a prediction needs, from the host."""
    from model.lstm_cuda import CudaLstm  # noqa: PLC0415 - needs Triton

    bound = unfused_bound(artifact)
    lstm = copy.deepcopy(artifact.forecaster.network.lstm).cuda()
    own = lstm_rate(artifact, CudaLstm(lstm, torch.float16))
    cudnn = lstm_rate(artifact, lstm.half())
    predictor = Predictor(artifact, "cuda")
    predictor.warm()
    windows = predictor.pinned(sample_windows(artifact, WINDOWS))
    whole = WINDOWS / _best_s(lambda: predictor.answer(windows, WINDOWS))
    assert predictor._graphs is not None
    replay = predictor._graphs._captured[CUDA_BUCKETS[-1]].replay
    model = WINDOWS / _best_s(lambda: [replay() for _ in range(BUCKETS)])
    on_device = torch.empty(windows.shape, device="cuda")
    copied = WINDOWS / _best_s(lambda: on_device.copy_(torch.from_numpy(windows), non_blocking=True))
    yield Row(f"{path}, cuDNN", "windows", "unfused bound", bound, cudnn)
    yield Row(f"{path}, our kernel", "windows", "cuDNN", cudnn, own)
    yield Row(f"{path}, end to end from host windows", "windows", "unfused bound", bound, whole, 0.5)
    yield Row("the same, beside the model's kernels alone", "windows", "kernels alone", model, whole, 0.9)
    yield Row("copies beside kernels", "windows", "one after the other", 1 / (1 / copied + 1 / model), whole)
    yield Row("all kernels of the model", "windows", "our kernel of the LSTM", own, model)
    alone = Predictor(artifact, "cpu", "fp32")
    alone.warm(1)
    one = [1 / _best_s(lambda each=each: each.answer(windows, 1), rounds=50) for each in (alone, predictor)]  # type: ignore[misc]
    yield Row(f"{path}, one window at a time", "windows", "on this CPU", *one)


def pipeline_rows(artifact: Artifact) -> Iterator[Row]:
    """Frames to encoded predictions in memory, by the clock on the wall, each worker on a core of its own."""
    warm_kernels(artifact.manifest)  # compiled once, for all the processes that follow
    on_cpu, on_gpu, shared = (
        sum(together(worker, SECONDS, workers)) for worker, workers in ((_on_cpu, 1), (_on_gpu, 1), (_on_gpu, WORKERS))
    )
    yield Row("predictions through the pipeline, one worker", "windows", "on its core alone", on_cpu, on_gpu)
    yield Row(f"{WORKERS} workers that share the GPU", "windows", f"{WORKERS} times one", WORKERS * on_gpu, shared)


def unfused_bound(artifact: Artifact) -> float:
    """Windows per second if products ran at the measured rate, and what lies between them at that of a copy.

    Between two products a step writes and reads its four gates, and reads and writes state and memory.
    """
    lstm = artifact.forecaster.network.lstm
    moved_bytes = artifact.manifest.window * lstm.num_layers * 12 * lstm.hidden_size * torch.float16.itemsize
    block = torch.randn(SIDE, SIDE, device="cuda", dtype=torch.float16)
    flop_a_second = 2.0 * SIDE**3 / _best_s(lambda: block @ block)
    bytes_a_second = 2.0 * block.nbytes / _best_s(block.clone)
    return 1.0 / (flop(artifact) / flop_a_second + moved_bytes / bytes_a_second)


def lstm_rate(artifact: Artifact, lstm: torch.nn.Module) -> float:
    """Windows per second of an LSTM at the largest bucket, inputs and outputs on the device."""
    inputs = artifact.forecaster.network.lstm.input_size
    steps = torch.randn(CUDA_BUCKETS[-1], artifact.manifest.window, inputs, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        return len(steps) / _best_s(lambda: lstm(steps))


def _on_cpu(core: int, seconds: float) -> float:
    return _piped("cpu", core, seconds)


def _on_gpu(core: int, seconds: float) -> float:
    return _piped("cuda", core, seconds)


def _piped(device: str, core: int, seconds: float) -> float:
    """Windows per second in the middle of ``seconds``, when all workers run."""
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    artifact = load("sample")
    predictor = Predictor(artifact, device)
    predictor.warm(MAX_WINDOWS)
    counted = Counted(predictor)
    sent = list(LOAD.sent())
    inputs = [records([each.value for each in sent if each.partition == at]) for at in range(LOAD.partitions)]
    began_s = time.perf_counter()
    marks: list[tuple[float, int]] = []
    for third in (1, 2, 3):
        while len(marks) < third:
            asyncio.run(in_memory(counted, artifact, inputs).run())
            if time.perf_counter() >= began_s + seconds * third / 3:
                marks.append((time.perf_counter(), counted.given))
    (from_s, before), (to_s, after), _ = marks
    return (after - before) / (to_s - from_s)


def _best_s(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    best_s = float("inf")
    for _ in range(rounds + 1):
        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        best_s = min(best_s, time.perf_counter() - began)
    return best_s
