"""The model's thread: which model answers which batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from model.block import LATE_INPUT, OUT_OF_DISTRIBUTION
from model.windows import WindowBatch
from stream.batch import Batch
from stream.clock import SystemClock
from stream.runner import ModelRunner, Predicted
from tests.small_model import FakeModel

MIN_STEPS = 2


class Named(FakeModel):
    """A model that answers with its number; the first ``failures`` batches raise."""

    def __init__(self, number: int, failures: int = 0) -> None:
        self.number = number
        self.failures = failures
        self.asked: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    @property
    def model_id(self) -> str:
        return f"model-{self.number}"

    def predict(self, windows: np.ndarray, n: int) -> np.ndarray:
        self.gate.wait(60)
        self.asked.append(n)
        if self.failures:
            self.failures -= 1
            raise RuntimeError(f"{self.model_id} fails")
        return np.full((n, 1, 3), self.number, np.float32)

    def padded(self, n: int) -> int:
        return n + self.number if n else 0


def batch(lengths: Sequence[int] = (2, 2, 2)) -> Batch:
    """Windows of these lengths; the one in row ``r`` shows nothing but ``r``."""
    made = Batch(WindowBatch.empty(len(lengths) + 1, 2, 1), filled=len(lengths))
    made.windows.length[:-1] = lengths
    made.windows.windows[:] = np.arange(len(lengths) + 1)[:, None, None]
    return made


async def answered(runner: ModelRunner, count: int) -> list[Predicted]:
    return [await asyncio.wait_for(runner.results.get(), 60) for _ in range(count)]


@pytest.fixture
async def runner():
    made = ModelRunner(Named(1), lambda: None, SystemClock(), min_steps=MIN_STEPS, targets=1)
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
    runner = ModelRunner(Named(1, failures=1), lambda: None, SystemClock(), min_steps=MIN_STEPS, targets=1)
    runner.start()
    await runner.swap(Named(2, failures=1), lambda error: None)
    runner.submit(batch())
    (found,) = await answered(runner, 1)
    assert str(found.error) == "model-1 fails"
    await runner.stop()


class Echo(Named):
    """Answers with what the last step of a window shows, and finds every window strange."""

    def predict(self, windows: np.ndarray, n: int) -> np.ndarray:
        super().predict(windows, n)
        return np.repeat(windows[:n, -1:], 3, axis=2)

    def strange(self, windows: np.ndarray, n: int) -> np.ndarray:
        return np.ones(n, bool)


@pytest.mark.parametrize(
    ("lengths", "asked"),
    [((2, 2, 2), [3]), ((2, 1, 2, 1, 0), [2]), ((0, 1), [])],
    ids=["all", "some", "none"],
)
async def test_model_is_asked_for_windows_that_are_long_enough_and_for_no_others(runner, lengths, asked):
    model = Echo(1)
    await runner.swap(model, unexpected)
    given = batch(lengths)
    given.windows.flags[:] = LATE_INPUT
    runner.submit(given)
    (found,) = await answered(runner, 1)
    assert model.asked == asked
    assert found.asked == sum(asked)
    assert found.padded == model.padded(found.asked)
    assert found.quantiles is not None
    expected = [row if length >= MIN_STEPS else np.nan for row, length in enumerate(lengths)]
    np.testing.assert_array_equal(found.quantiles, np.repeat(expected, 3).reshape(-1, 1, 3))
    flags = [LATE_INPUT | (OUT_OF_DISTRIBUTION if length >= MIN_STEPS else 0) for length in lengths]
    assert given.windows.flags.tolist() == [*flags, LATE_INPUT]


async def test_batch_of_short_windows_alone_is_no_trial_of_a_new_model(runner):
    errors: list[Exception] = []
    await runner.swap(Named(2, failures=1), errors.append)
    for lengths in ((1, 1), (2, 2)):
        runner.submit(batch(lengths))
    found = await answered(runner, 2)
    assert [each.model_id for each in found] == ["model-2", "model-1"]
    assert [each.error for each in found] == [None, None]
    assert len(errors) == 1
