"""A second model on trial: it sees the same windows and answers to a topic of its own. The first never waits for it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import structlog
from numpy.typing import NDArray

from model.artifact import Manifest
from model.block import OUT_OF_DISTRIBUTION
from stream.batch import Batch
from stream.publisher import Publisher
from stream.runner import ModelRunner, Predicted
from stream.seams import Sink
from stream.telemetry import Telemetry

log = structlog.get_logger()


@dataclass(slots=True)
class _Spare:
    """A copy of a batch, and what the first model said of it: SOH medians, float32 [filled]."""

    batch: Batch
    soh: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


class Shadow:
    """Runs on a thread of its own over copies of batches, of which there are as many as ``spare``.

    With none left, or while the first model cannot keep up itself, windows are dropped and counted; so are those on
    which the shadow or its topic fails. What it publishes is in order, and at most once: nobody waits for it.
    """

    def __init__(
        self,
        first: Manifest,
        manifest: Manifest,
        *,
        runner: ModelRunner,
        publisher: Publisher,
        sink: Sink,
        spare: list[Batch],
        telemetry: Telemetry,
    ) -> None:
        self._runner = runner
        self._publisher = publisher
        self._sink = sink
        self._telemetry = telemetry
        self._soh = first.target_index("soh"), manifest.target_index("soh")
        self._min_steps = manifest.steps.min_steps
        self._free = deque(_Spare(batch) for batch in spare)
        self._running: deque[_Spare] = deque()
        self._failing = False

    def offer(self, batch: Batch, quantiles: NDArray[np.float32], *, busy: bool) -> None:
        """Copies a batch that the first model has answered, float32 [filled, targets, 3]. Never waits."""
        count = batch.filled
        if busy or not self._free:
            self._telemetry.shadow_windows.labels("dropped").inc(count)
            return
        spare = self._free.popleft()
        spare.batch.copy(batch)
        spare.batch.windows.flags[:count] &= ~np.uint8(OUT_OF_DISTRIBUTION)  # to which each model has its own answer
        index = self._soh[0]
        spare.soh = np.full(count, np.nan, np.float32) if index is None else quantiles[:, index, 1].copy()
        self._running.append(spare)
        self._runner.submit(spare.batch)

    async def run(self) -> None:
        """Publishes and compares until cancelled; whatever fails is counted, and told once until it works again."""
        self._runner.start()
        try:
            while True:
                predicted = await self._runner.results.get()
                spare = self._running.popleft()
                try:
                    await self._take(predicted, spare.soh)
                    self._failing = False
                except Exception as error:  # noqa: BLE001 - a model on trial must not end the one that answers
                    self._telemetry.shadow_windows.labels("failed").inc(spare.batch.filled)
                    if not self._failing:
                        log.error("the shadow model failed on a batch", reason=repr(error))
                    self._failing = True
                spare.batch.clear()
                self._free.append(spare)
        finally:
            self._runner.end()

    async def _take(self, predicted: Predicted, soh: NDArray[np.float32]) -> None:
        if predicted.error is not None or predicted.quantiles is None:
            raise predicted.error or RuntimeError("no answer")
        told = self._publisher.predictions(predicted.batch, predicted.quantiles, predicted.model_id)
        await (await self._sink.send(told.messages))
        if (index := self._soh[1]) is None:
            return
        count = predicted.batch.filled
        difference = np.abs(predicted.quantiles[:, index, 1].astype(np.float64) - soh)
        compared = np.isfinite(difference) & (predicted.batch.windows.length[:count] >= self._min_steps)
        self._telemetry.shadow_windows.labels("compared").inc(int(compared.sum()))
        self._telemetry.shadow_soh_difference.inc(float(difference[compared].sum()))
