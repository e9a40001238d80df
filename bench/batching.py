"""What the pipeline leaves of the model's speed when windows come in faster than it predicts; what it does alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.core import best_rates
from bench.flow import TOPIC, in_memory, records
from bench.load import Load
from bench.model import PRODUCTS, SIDE, WINDOWS, bare_run, flop, sample_windows, sgemm
from bench.table import Cost, Line, Row
from model.answer import Answer
from model.artifact import Artifact, load
from model.predictor import Predictor
from stream.assembly import warm_kernels
from stream.records import Interval, Origin, Prediction, Telemetry

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


class Instant(Counted):
    """A model whose answer is there before it is asked."""

    def __init__(self, predictor: Predictor, ready: Answer) -> None:
        super().__init__(predictor)
        self.ready = ready

    def answer(self, windows: NDArray[np.float32], n: int) -> Answer:  # noqa: ARG002 - whatever they are
        """The first answers."""
        return Answer(self.ready.quantiles[:n], self.ready.strange[:n])


def rows() -> Iterator[Line]:
    """JSON frames to encoded predictions, no broker: the model is what takes long, then takes no time."""
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

    instant = Instant(predictor, predictor.answer(sample_windows(artifact, WINDOWS + 1), WINDOWS + 1))
    decode, encode, told = msgspec.json.Decoder(Telemetry).decode, msgspec.json.Encoder().encode, _told(artifact)

    def alone() -> None:
        asyncio.run(in_memory(instant, artifact, inputs).run())

    def in_and_out() -> None:
        for each in sent:
            decode(each.value)
        for _ in range(given):
            encode(told)

    roof, ours = best_rates((given, in_and_out), (given, alone))
    yield Row("pipeline alone, the model takes no time", "windows", "msgspec, in and out", roof, ours, 0.15)


def _told(artifact: Artifact) -> Prediction:
    """A prediction as long as most."""
    soh, capacity = Interval(0.912345, 0.923456, 0.934567), Interval(4.512345, 4.623456, 4.734567)
    origin = Origin(TOPIC, 3, 123_456)
    return Prediction(1, "P1", 42, 1_700_000_000_000, 200, [], artifact.model_id, origin, None, soh, capacity)
