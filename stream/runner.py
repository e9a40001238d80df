"""The model's own thread: batches in, quantiles out, the event loop never blocked."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model.answer import Answer
from model.block import OUT_OF_DISTRIBUTION
from stream.batch import Batch
from stream.clock import Clock

TURN_S = 1.0  # how often an idle model thread shows that it lives


class Model(Protocol):
    """What the stream needs of a predictor."""

    @property
    def model_id(self) -> str:
        """What a prediction names as its model."""

    def answer(self, windows: NDArray[np.float32], n: int) -> Answer:
        """What is said of the first ``n`` windows (float32 [>= n, L, C])."""

    def pinned(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The array, or a copy of it, in memory from which `predict` is fed fastest."""

    def padded(self, n: int) -> int:
        """Windows that are computed for ``n``: shapes are few, and the rest of a shape is padding."""


class Predicted(NamedTuple):
    """A batch with its quantiles, float32 [filled, targets, 3], or the error that the model raised.

    Quantiles are NaN where a window is too short to be answered. ``model_id`` is who answered the ``asked`` others:
    ``padded`` windows were computed in ``seconds``, ``waited_s`` after the first came in.
    """

    batch: Batch
    quantiles: NDArray[np.float32] | None
    error: Exception | None
    model_id: str
    asked: int
    padded: int
    waited_s: float
    seconds: float


class _Swap(NamedTuple):
    """A model that answers from here on; ``restored`` is told why, should the one before it have to answer again."""

    model: Model
    swapped: asyncio.Future[None]
    restored: Callable[[Exception], None]


class ModelRunner:
    """Runs one model on one thread, first in first out; results arrive on ``results`` in the same order.

    It is not asked for windows of fewer than ``min_steps`` steps; ``targets`` is how many it answers to. ``on_turn`` is
    called from that thread, at least every second while it is not predicting.
    """

    def __init__(
        self, model: Model, on_turn: Callable[[], None], clock: Clock, *, min_steps: int, targets: int
    ) -> None:
        self.model = model
        self.min_steps = min_steps
        self.targets = targets
        self.on_turn = on_turn
        self.clock = clock
        self.results: asyncio.Queue[Predicted] = asyncio.Queue()
        self._inbox: queue.SimpleQueue[Batch | _Swap | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._untried: tuple[Model, Callable[[Exception], None]] | None = None

    def start(self) -> None:
        """Starts the thread; results go to the running event loop."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="model", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Hands a batch over; it is the model's until its result arrives."""
        self._inbox.put(batch)

    async def swap(self, model: Model, restored: Callable[[Exception], None]) -> None:
        """Returns when ``model`` answers: batches submitted before are the former model's, whole, and those after its.

        Should it fail on its first batch, the former model answers that batch and all that follow, and ``restored`` is
        called with the error.
        """
        swapped = asyncio.get_running_loop().create_future()
        self._inbox.put(_Swap(model, swapped, restored))
        await swapped

    async def stop(self) -> None:
        """Lets the thread finish what it was given, and end."""
        if self._thread is not None:
            self.end()
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    def end(self) -> None:
        """As `stop`, but nobody waits."""
        self._inbox.put(None)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self.on_turn()
            try:
                given = self._inbox.get(timeout=TURN_S)
            except queue.Empty:
                continue
            if given is None:
                return
            if isinstance(given, _Swap):
                self._untried = self.model, given.restored
                self.model = given.model
                _tell(loop, _settle, given.swapped)
            else:
                _tell(loop, self.results.put_nowait, self._predicted(given, loop))

    def _predicted(self, batch: Batch, loop: asyncio.AbstractEventLoop) -> Predicted:
        began_s = self.clock.monotonic_s()
        enough = np.flatnonzero(batch.windows.length[: batch.filled] >= self.min_steps)
        quantiles: NDArray[np.float32] | None = None
        failure: Exception | None = None
        try:
            quantiles = self._answers(batch, enough)
        except Exception as error:  # noqa: BLE001 - whatever the model raises ends the stream, not this thread alone
            failure = error
        if self._untried is not None and len(enough):
            (former, restored), self._untried = self._untried, None
            if failure is not None:
                self.model = former
                _tell(loop, restored, failure)
                return self._predicted(batch, loop)
        return Predicted(
            batch,
            quantiles,
            failure,
            self.model.model_id,
            len(enough),
            self.model.padded(len(enough)),
            began_s - batch.opened_s,
            self.clock.monotonic_s() - began_s,
        )

    def _answers(self, batch: Batch, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Quantiles float32 [filled, targets, 3] of the windows in ``rows``, NaN elsewhere; flags the strange ones."""
        quantiles = np.full((batch.filled, self.targets, 3), np.nan, np.float32)
        if count := len(rows):
            # Where all are long enough, and so nearly always, the model reads them from where they lie.
            windows = batch.windows.windows
            windows = windows if count == batch.filled else windows.take(rows, axis=0)
            answer = self.model.answer(windows, count)
            quantiles[rows] = answer.quantiles
            batch.windows.flags[rows[answer.strange]] |= OUT_OF_DISTRIBUTION
        return quantiles


def _tell(loop: asyncio.AbstractEventLoop, call: Callable[..., None], argument: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(call, argument)


def _settle(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
