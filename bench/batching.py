"""What the pipeline leaves of the model's speed when windows come in faster than it predicts; how full batches are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.core import best_rates
from bench.flow import in_memory, records
from bench.load import Load
from bench.model import PRODUCTS, SIDE, WINDOWS, bare_run, flop, sgemm
from bench.table import Cost, Line, Row
from model.answer import Answer
from model.artifact import load
from model.predictor import Predictor
from stream.assembly import warm_kernels

LOAD = Load(packs=8, cells=96, frames=1601, partitions=4, period_ms=60_000)  # 29 of 32 due windows are full


class Counted:
    """A model that notes how many windows it was given, and how many it computed for them: batches are padded."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.given = self.computed = self.calls = 0

    @property
    def model_id(self) -> str:
        """The predictor's."""
        return self.predictor.model_id

    def answer(self, windows: NDArray[np.float32], n: int) -> Answer:
        """What the predictor says."""
        self.calls += 1
        self.given += n
        self.computed += self.padded(n)
        return self.predictor.answer(windows, n)

    def pinned(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """As the predictor has it."""
        return self.predictor.pinned(windows)

    def padded(self, n: int) -> int:
        """As the predictor does it."""
        return self.predictor.padded(n)


def rows() -> Iterator[Line]:
    """JSON frames to encoded predictions, no broker: the model is what takes long."""
    artifact = load("sample")
    predictor = Predictor(artifact, "cpu", "fp32")
    predictor.warm(WINDOWS)
    warm_kernels(artifact.manifest)
    sent = list(LOAD.sent())
    inputs = [records([each.value for each in sent if each.partition == at]) for at in range(LOAD.partitions)]
    counted = Counted(predictor)

    def whole() -> None:
        asyncio.run(in_memory(counted, artifact, inputs).run())

    whole()
    given, computed, calls = counted.given, counted.computed, counted.calls
    products = PRODUCTS * 2.0 * SIDE**3 / flop(artifact)
    roof, bare, through = best_rates((products, sgemm), (WINDOWS, bare_run(artifact)), (given, whole), rounds=4)
    yield Row("LSTM L=200, CPU, through the batcher", "windows", "sgemm on this core", roof, through, 0.75)
    yield Row("the same, beside the model alone", "windows", "bare predict", bare, through, 0.9)
    yield Cost("batches for these windows", "batches", "all full", given / WINDOWS, calls, 1.2)
    yield Cost("windows computed, padding counted", "windows", "given", given, computed, 1.1)
