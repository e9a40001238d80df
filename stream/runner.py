"""The model's own thread: batches in, quantiles out, the event loop never blocked."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model.block import OUT_OF_DISTRIBUTION
from stream.batch import Batch

TURN_S = 1.0  # how often an idle model thread shows that it lives


class Model(Protocol):
    """What the stream needs of a predictor."""

    def predict(self, windows: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        """Quantiles float32 [n, targets, 3] of the first ``n`` windows (float32 [>= n, L, C])."""

    def strange(self, windows: NDArray[np.float32], n: int) -> NDArray[np.bool_]:
        """Which of the first ``n`` windows are out of distribution: bool [n]."""


class Predicted(NamedTuple):
    """A batch with its quantiles, float32 [filled, targets, 3], or the error that the model raised."""

    batch: Batch
    quantiles: NDArray[np.float32] | None
    error: Exception | None
    seconds: float


class ModelRunner:
    """Runs one model on one thread, first in first out; results arrive on ``results`` in the same order.

    ``on_turn`` is called from that thread, at least every second while it is not predicting.
    """

    def __init__(self, model: Model, on_turn: Callable[[], None]) -> None:
        self.model = model
        self.on_turn = on_turn
        self.results: asyncio.Queue[Predicted] = asyncio.Queue()
        self._inbox: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread; results go to the running event loop."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="model", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Hands a batch over; it is the model's until its result arrives."""
        self._inbox.put(batch)

    async def stop(self) -> None:
        """Lets the thread finish what it was given, and end."""
        if self._thread is not None:
            self._inbox.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self.on_turn()
            try:
                batch = self._inbox.get(timeout=TURN_S)
            except queue.Empty:
                continue
            if batch is None:
                return
            began_s = time.perf_counter()
            quantiles: NDArray[np.float32] | None = None
            failure: Exception | None = None
            try:
                windows = batch.windows
                quantiles = self.model.predict(windows.windows, batch.filled)
                strange = self.model.strange(windows.windows, batch.filled)
                windows.flags[: batch.filled][strange] |= OUT_OF_DISTRIBUTION
            except Exception as error:  # noqa: BLE001 - whatever the model raises ends the stream, not this thread alone
                failure = error
            result = Predicted(batch, quantiles, failure, time.perf_counter() - began_s)
            loop.call_soon_threadsafe(self.results.put_nowait, result)
