"""Windows in, quantiles out: the model on its device, in its precision, at a few fixed batch shapes."""

from __future__ import annotations

import copy
import math
import time
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model import cuda_kernels
from model.answer import Answer
from model.artifact import Artifact
from model.buckets import Buckets
from model.cuda import Answering, CudaGraphs
from model.lstm_kernel import BF16_SUPPORTED, SUPPORTED, FusedLstm
from model.network import Forecaster

Precision = Literal["fp32", "fp16", "bf16"]
_WEIGHTS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

# More than 64 windows at once make no CPU faster: torch's no longer fit its caches. A GPU wants thousands.
CPU_BUCKETS = (1, 8, 16, 32, 64)
CUDA_BUCKETS = (1, 16, 64, 256, 1024, 2048, 4096, 8192, 16384)
_TRIALS = 3


class Predictor:
    """A loaded model, ready to predict. One thread at a time may call it.

    ``device``: ``auto`` takes CUDA where there is one; else what torch calls it. ``precision``: ``auto`` is fp16 under
    autocast on CUDA (cuDNN's LSTM knows no other half type under autocast), and on a CPU fp32. bf16 keeps three digits
    and has to be asked for: were it chosen by what is measured at a start, processes of one fleet would not agree.
    The LSTM is a kernel of our own on a CPU that has its vectors, or multiplies bf16 (`model.lstm_kernel`), and in half
    precision on a GPU (`model.cuda_kernels`), where these can run, else torch's.
    """

    def __init__(
        self, artifact: Artifact, device: str = "auto", precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    ) -> None:
        self.model_id = artifact.model_id
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.on_cuda = self.device.type == "cuda"
        self._with_kernels = self.on_cuda and not cuda_kernels.missing(self.device)
        self._artifact = artifact
        self._novelty = artifact.novelty
        if precision == "auto":
            precision = "fp16" if self.on_cuda else "fp32"
        if precision == "fp16" and not self.on_cuda:
            raise ValueError("precision fp16 needs a CUDA device; on a CPU use auto, fp32 or bf16")
        self.precision: Precision = precision
        self._forecaster = self._cast(precision)
        manifest = artifact.manifest
        self.buckets = Buckets(CUDA_BUCKETS if self.on_cuda else CPU_BUCKETS)
        self._graphs: CudaGraphs | None = None
        self._inputs = (manifest.window, len(manifest.channels))
        self._outputs = (len(manifest.targets), len(manifest.quantiles))
        # For padded chunks on a CPU, used again and again; a GPU has its own.
        self._staging = torch.full((CPU_BUCKETS[-1], *self._inputs), math.nan)

    def warm(self, max_windows: int | None = None) -> None:
        """Runs the buckets (those that up to ``max_windows`` windows can use); measures which serve how many best."""
        sizes = self.buckets.sizes
        used = sizes if max_windows is None else sizes[: bisect_left(sizes, max_windows) + 1]
        if self.on_cuda:
            half = self.precision == "fp16"
            told = copy.deepcopy(self._novelty)
            if told is not None and self._with_kernels:
                told = cuda_kernels.telling(told)
            answering = Answering(self._forecaster, told).to(self.device)
            outputs = math.prod(self._outputs) + 1
            graphs = CudaGraphs(answering, used, self._inputs, outputs, self.device, autocast=half)
            windows = self.pinned(np.full((used[-1], *self._inputs), np.nan, np.float32))
            seconds = [_best_seconds(partial(graphs.run, windows, size, [size])) for size in used]
            self._graphs = graphs
        else:
            seconds = [self._seconds(self._forecaster, size) for size in used]
        self.buckets = Buckets(used, seconds)

    def answer(self, windows: NDArray[np.float32], n: int) -> Answer:
        """All that is said of the first ``n`` windows (float32 [>= n, L, C])."""
        if not self.on_cuda:
            return Answer(self.predict(windows, n), self.strange(windows, n))
        if self._graphs is None:
            self.warm()
        assert self._graphs is not None
        answers = self._graphs.run(windows, n, self.buckets.chunks(n))
        return Answer(answers[:, :-1].reshape(n, *self._outputs), answers[:, -1] > 1)

    def predict(self, windows: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """Quantiles float32 [n, T, Q], natural units, of the first ``n`` windows (float32 [>= n, L, C])."""
        if self.on_cuda:
            return self.answer(windows, n).quantiles
        result = np.empty((n, *self._outputs), np.float32)
        start = 0
        for bucket in self.buckets.chunks(n):
            count = min(bucket, n - start)
            # What lies beyond `count` in the staging is left over from earlier calls: computed, and ignored.
            self._staging[:count].copy_(torch.from_numpy(windows[start : start + count]))
            result[start : start + count] = self._run(self._forecaster, self._staging[:bucket])[:count]
            start += count
        return result

    def pinned(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The array in memory from which `predict` is fed fastest: on a GPU a copy that it can read by itself."""
        return torch.from_numpy(windows).pin_memory().numpy() if self.on_cuda else windows

    def padded(self, n: int) -> int:
        """Windows that are computed for ``n``."""
        return self.buckets.padded(n)

    def strange(self, windows: NDArray[np.float32], n: int) -> NDArray[np.bool_]:
        """Which of the first ``n`` windows (float32 [>= n, L, C]) are out of distribution: bool [n].

        None is where the artifact cannot tell.
        """
        if self.on_cuda:
            return self.answer(windows, n).strange
        if self._novelty is None:
            return np.zeros(n, np.bool_)
        with torch.inference_mode():
            found: NDArray[np.bool_] = (self._novelty(torch.from_numpy(windows[:n])) > 1).numpy()
        return found

    @torch.inference_mode()
    def _run(self, forecaster: Forecaster, windows: torch.Tensor) -> NDArray[np.float32]:
        # Asking is what tells OpenMP in a thread of its own how many threads torch was set to: an LSTM that came first
        # would take all there are, and wait for each at every step.
        torch.get_num_threads()
        quantiles: NDArray[np.float32] = forecaster(windows).numpy()
        return quantiles

    def _cast(self, precision: Precision) -> Forecaster:
        """The module with its weights cast once: autocast in inference mode would cast all of them at every call."""
        forecaster = copy.deepcopy(self._artifact.forecaster).to(self.device)
        network, weights = forecaster.network, _WEIGHTS[precision]
        fused: nn.Module | None = None
        if self._with_kernels and precision != "fp32":
            fused = cuda_kernels.fuse(forecaster, weights)
        elif not self.on_cuda and (BF16_SUPPORTED if precision == "bf16" else SUPPORTED):
            fused = FusedLstm(network.lstm, bf16=precision == "bf16")
            weights = torch.float32  # of what is around it
        network.to(weights)
        if fused is None:
            network.lstm.flatten_parameters()
        else:  # only now: what it sums in float32 stays so
            network.register_module("lstm", fused)
        return forecaster

    def _seconds(self, forecaster: Forecaster, bucket: int) -> float:
        # Of this thread, for what else the machine does must not decide between shapes that are close.
        return _best_seconds(partial(self._run, forecaster, self._staging[:bucket]), time.thread_time)


def _best_seconds(run: Callable[[], object], clock_s: Callable[[], float] = time.perf_counter) -> float:
    """The best time of a few runs; the first, which pays for start-up, is not counted."""
    best = math.inf
    for trial in range(_TRIALS + 1):
        start = clock_s()
        run()
        if trial:
            best = min(best, clock_s() - start)
    return best
