"""Windows in, quantiles out: the model on its device, in its precision, at a few fixed batch shapes."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact import Artifact
from model.network import Forecaster

Precision = Literal["fp32", "fp16", "bf16"]
_WEIGHTS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

# One CPU thread is fastest at 16 to 64 windows: more no longer fit its caches. A GPU wants thousands.
CPU_BUCKETS = (1, 8, 16, 32, 64)
CUDA_BUCKETS = (1, 16, 64, 256, 1024, 4096)
_TRIALS = 3
# bf16 keeps three digits, and two runs that choose differently do not agree: worth it only where a matrix unit makes it
# several times faster. Plain AVX-512 bf16 gains 1.6 to 2.2 here, too close to any line to come out the same twice.
_BF16_GAIN = 3.0


class Predictor:
    """A loaded model, ready to predict. One thread at a time may call it.

    ``device``: ``auto`` takes CUDA where there is one; else what torch calls it. ``precision``: ``auto`` is fp16 under
    autocast on CUDA (cuDNN's LSTM knows no other half type under autocast), and on a CPU fp32, unless `warm` measures
    bf16 to take less than a third of the time.
    """

    def __init__(
        self, artifact: Artifact, device: str = "auto", precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    ) -> None:
        self.model_id = artifact.model_id
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.on_cuda = self.device.type == "cuda"
        self._artifact = artifact
        self._novelty = artifact.novelty
        self._measure = precision == "auto" and not self.on_cuda
        if precision == "auto":
            precision = "fp16" if self.on_cuda else "fp32"
        if precision == "fp16" and not self.on_cuda:
            raise ValueError("precision fp16 needs a CUDA device; on a CPU use auto, fp32 or bf16")
        self.precision: Precision = precision
        self._forecaster = self._cast(precision)
        manifest = artifact.manifest
        self.buckets = CUDA_BUCKETS if self.on_cuda else CPU_BUCKETS
        self._outputs = (len(manifest.targets), len(manifest.quantiles))
        # Staging for padded chunks: reused, and pinned where it feeds a GPU.
        shape = (self.buckets[-1], manifest.window, len(manifest.channels))
        self._staging = torch.full(shape, math.nan, pin_memory=self.on_cuda)

    def warm(self, max_windows: int = 1) -> None:
        """Runs every bucket that up to ``max_windows`` windows can meet; measures which precision suits a CPU."""
        if self._measure:
            half = self._cast("bf16")
            if self._seconds(half) * _BF16_GAIN < self._seconds(self._forecaster):
                self.precision, self._forecaster = "bf16", half
            self._measure = False
        for bucket in self.buckets:
            self._run(self._forecaster, self._staging[:bucket])
            if bucket >= max_windows:
                break

    def predict(self, windows: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """Quantiles float32 [n, T, Q], natural units, of the first ``n`` windows (float32 [>= n, L, C])."""
        result = np.empty((n, *self._outputs), np.float32)
        largest = self.buckets[-1]
        for start in range(0, n, largest):
            count = min(largest, n - start)
            bucket = next(size for size in self.buckets if size >= count)
            # What lies beyond `count` in the staging is left over from earlier calls: computed, and ignored.
            self._staging[:count].copy_(torch.from_numpy(windows[start : start + count]))
            result[start : start + count] = self._run(self._forecaster, self._staging[:bucket])[:count]
        return result

    def strange(self, windows: NDArray[np.float32], n: int) -> NDArray[np.bool_]:
        """Which of the first ``n`` windows (float32 [>= n, L, C]) are out of distribution: bool [n].

        On the CPU whatever the device: it is a few numbers a window. None is where the artifact cannot tell.
        """
        found = np.zeros(n, np.bool_)
        if self._novelty is not None:
            with torch.inference_mode():
                for start in range(0, n, CPU_BUCKETS[-1]):
                    chunk = torch.from_numpy(windows[start : min(start + CPU_BUCKETS[-1], n)])
                    found[start : start + len(chunk)] = (self._novelty(chunk) > 1).numpy()
        return found

    def _run(self, forecaster: Forecaster, windows: torch.Tensor) -> NDArray[np.float32]:
        autocast = torch.autocast("cuda", torch.float16) if self.precision == "fp16" else contextlib.nullcontext()
        with torch.inference_mode(), autocast:
            quantiles: NDArray[np.float32] = forecaster(windows.to(self.device, non_blocking=True)).cpu().numpy()
        return quantiles

    def _cast(self, precision: Precision) -> Forecaster:
        """The module with its weights cast once: autocast in inference mode would cast all of them at every call."""
        forecaster = copy.deepcopy(self._artifact.forecaster).to(self.device)
        forecaster.network.to(_WEIGHTS[precision])
        forecaster.network.lstm.flatten_parameters()
        return forecaster

    def _seconds(self, forecaster: Forecaster) -> float:
        """The best time of a few runs of the largest bucket; the first, which pays for start-up, is not counted."""
        best = math.inf
        for trial in range(_TRIALS + 1):
            start = time.perf_counter()
            self._run(forecaster, self._staging)
            if trial:
                best = min(best, time.perf_counter() - start)
        return best
