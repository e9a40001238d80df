"""A model on a GPU: each batch shape a captured graph, fed from pinned memory, copies beside the computing."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.network import Forecaster
from model.novelty import Novelty

SLOTS = 2  # one is copied while the other is computed
_WARM_UPS = 3  # cuDNN and cuBLAS choose their ways and take their workspaces before anything is captured


class Answering(nn.Module):
    """All that is said of a window in one array: its quantiles and, behind them, how unlike training it is."""

    def __init__(self, forecaster: Forecaster, novelty: Novelty | None) -> None:
        super().__init__()
        self.forecaster, self.novelty = forecaster, novelty

    def forward(self, windows: Tensor) -> Tensor:
        """Raw windows float32 [n, L, C] -> float32 [n, T Q + 1]; the score is 0 where nobody can tell."""
        quantiles = self.forecaster(windows).flatten(1)
        with torch.autocast(windows.device.type, enabled=False):  # a distance is no matter of three digits
            score = quantiles.new_zeros(len(windows)) if self.novelty is None else self.novelty(windows)
        return torch.cat((quantiles, score.unsqueeze(-1)), -1)


class _Slot(NamedTuple):
    """Where a chunk is on its way. host (pinned), device: float32 [largest, L, C]; answers: float32 [largest, A]."""

    host: Tensor
    device: Tensor
    answers: Tensor
    copied: Any
    consumed: Any
    answered: Any


class _Captured(NamedTuple):
    """A batch shape: ``replay`` computes ``answers`` [size, A] from the first windows of the graphs' common input."""

    replay: Callable[[], None]
    answers: Tensor


class CudaGraphs:
    """Answers windows, ``outputs`` numbers each, at the captured shapes.

    One thread at a time may call it; other instances do not disturb it.

    The weights must already have their type, flattened: under autocast cuDNN casts and flattens every other weight
    anew at each call. Shapes share one memory pool, for they run one after the other. Captures concern their own
    thread only, so that a new model can be captured while another answers.
    """

    def __init__(
        self,
        answering: nn.Module,
        sizes: Sequence[int],
        window_shape: tuple[int, int],
        outputs: int,
        device: torch.device,
        *,
        autocast: bool,
        cuda: Any = torch.cuda,
    ) -> None:
        self._answering = answering
        self._autocast = autocast
        self._outputs = outputs
        self._cuda = cuda
        self._copies, self._compute = cuda.Stream(device), cuda.Stream(device)
        self._pool = cuda.graph_pool_handle()
        pin = device.type == "cuda"
        shape = (sizes[-1], *window_shape)
        self._windows = torch.full(shape, torch.nan, device=device)
        self._slots = [
            _Slot(
                torch.full(shape, torch.nan, pin_memory=pin),
                torch.full(shape, torch.nan, device=device),
                torch.empty((sizes[-1], outputs), pin_memory=pin),
                *(cuda.Event(blocking=True) for _ in range(3)),
            )
            for _ in range(SLOTS)
        ]
        cuda.current_stream(device).synchronize()  # what was filled above is there for the other streams
        # The largest first: the smaller ones find their room in the pool.
        self._captured = {size: self._capture(size) for size in sorted(sizes, reverse=True)}

    def run(self, windows: NDArray[np.float32], n: int, chunks: Sequence[int]) -> NDArray[np.float32]:
        """Answers float32 [n, A] to the first ``n`` windows (float32 [>= n, L, C]), in chunks of captured sizes.

        While one chunk is computed the next is copied. An array that is pinned itself is read from where it lies.
        """
        result = np.empty((n, self._outputs), np.float32)
        given = torch.from_numpy(windows)
        pinned = given.is_pinned()
        running: deque[tuple[_Slot, int, int]] = deque()
        start = 0
        with torch.inference_mode():
            for size, slot in zip(chunks, cycle(self._slots), strict=False):
                if len(running) == SLOTS:
                    self._collect(*running.popleft(), result)
                stop = min(start + size, n)
                count = stop - start
                source = given[start:stop] if pinned else slot.host[:count].copy_(given[start:stop])
                with self._cuda.stream(self._copies):
                    self._copies.wait_event(slot.consumed)
                    slot.device[:count].copy_(source, non_blocking=True)
                    slot.copied.record(self._copies)
                with self._cuda.stream(self._compute):
                    self._compute.wait_event(slot.copied)
                    # What lies beyond `count` is left over from earlier calls: computed, and ignored.
                    self._windows[:count].copy_(slot.device[:count], non_blocking=True)
                    slot.consumed.record(self._compute)
                    captured = self._captured[size]
                    captured.replay()
                    slot.answers[:count].copy_(captured.answers[:count], non_blocking=True)
                    slot.answered.record(self._compute)
                running.append((slot, start, stop))
                start = stop
            while running:
                self._collect(*running.popleft(), result)
        return result

    def _collect(self, slot: _Slot, start: int, stop: int, result: NDArray[np.float32]) -> None:
        slot.answered.synchronize()
        result[start:stop] = slot.answers[: stop - start].numpy()

    def _capture(self, size: int) -> _Captured:
        """Captured on the stream that replays it."""
        windows = self._windows[:size]
        # Without a cache: a weight that was cast while capturing would be a tensor of the graph's own.
        half = (
            torch.autocast("cuda", torch.float16, cache_enabled=False) if self._autocast else contextlib.nullcontext()
        )
        with torch.inference_mode(), self._cuda.stream(self._compute), half:
            for _ in range(_WARM_UPS):
                self._answering(windows)
            self._compute.synchronize()
            graph = self._cuda.CUDAGraph()
            # Not `torch.cuda.graph`, which frees cached memory and so halts whatever else runs on the device.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                answers = self._answering(windows)
            finally:
                graph.capture_end()
        return _Captured(graph.replay, answers)
