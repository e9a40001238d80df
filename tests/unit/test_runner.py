"""The model's thread: which model answers which batch."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from model.windows import WindowBatch
from stream.batch import Batch
from stream.clock import SystemClock
from stream.runner import ModelRunner, Predicted


class Named:
    """A model that answers with its number; the first ``failures`` batches raise."""

    def __init__(self, number: int, failures: int = 0) -> None:
        self.number = number
        self.failures = failures
        self.gate = threading.Event()
        self.gate.set()

    @property
    def model_id(self) -> str:
        return f"model-{self.number}"

    def predict(self, windows: np.ndarray, n: int) -> np.ndarray:
        self.gate.wait(10)
        if self.failures:
            self.failures -= 1
            raise RuntimeError(f"{self.model_id} fails")
        return np.full((n, 1, 3), self.number, np.float32)

    def pinned(self, windows: np.ndarray) -> np.ndarray:
        return windows

    def strange(self, windows: np.ndarray, n: int) -> np.ndarray:
        return np.zeros(n, bool)

    def padded(self, n: int) -> int:
        return n + self.number


def batch(filled: int = 3) -> Batch:
    return Batch(WindowBatch.empty(4, 2, 1), filled=filled)


async def answered(runner: ModelRunner, count: int) -> list[Predicted]:
    return [await asyncio.wait_for(runner.results.get(), 10) for _ in range(count)]


@pytest.fixture
async def runner():
    made = ModelRunner(Named(1), lambda: None, SystemClock())
    made.start()
    yield made
    await made.stop()


def unexpected(error: Exception) -> None:
    raise AssertionError(error)


async def test_batches_before_a_swap_are_the_old_models_and_those_after_the_new_ones(runner):
    runner.model.gate.clear()
    old = runner.model
    for _ in range(3):
        runner.submit(batch())
    swapping = asyncio.create_task(runner.swap(Named(2), unexpected))
    await asyncio.sleep(0)
    for _ in range(2):
        runner.submit(batch())
    assert not swapping.done()
    old.gate.set()
    await swapping
    found = await answered(runner, 5)
    assert [each.model_id for each in found] == ["model-1"] * 3 + ["model-2"] * 2
    assert [each.padded for each in found] == [4] * 3 + [5] * 2
    for each in found:
        assert each.quantiles is not None
        assert set(each.quantiles.ravel()) == {float(each.model_id[-1])}, "no batch mixes models"


async def test_model_that_fails_on_its_first_batch_gives_way_to_the_former_one_which_answers_that_batch(runner):
    errors: list[Exception] = []
    await runner.swap(Named(2, failures=1), errors.append)
    for _ in range(2):
        runner.submit(batch())
    found = await answered(runner, 2)
    assert [each.model_id for each in found] == ["model-1"] * 2
    assert [each.error for each in found] == [None, None]
    assert [str(error) for error in errors] == ["model-2 fails"]


async def test_model_that_has_answered_is_on_its_own(runner):
    new = Named(2)
    await runner.swap(new, unexpected)
    runner.submit(batch())
    await answered(runner, 1)
    new.failures = 1
    runner.submit(batch())
    (found,) = await answered(runner, 1)
    assert found.quantiles is None
    assert str(found.error) == "model-2 fails"


async def test_former_model_that_fails_as_well_ends_it():
    runner = ModelRunner(Named(1, failures=1), lambda: None, SystemClock())
    runner.start()
    await runner.swap(Named(2, failures=1), lambda error: None)
    runner.submit(batch())
    (found,) = await answered(runner, 1)
    assert str(found.error) == "model-1 fails"
    await runner.stop()
