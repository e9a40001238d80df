"""What of the GPU's way can be held without one: which window goes where, and what waits for what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from model.artifact import Artifact
from model.cuda import SLOTS, Answering, CudaGraphs, _Captured
from model.predictor import Predictor
from tests.small_model import random_windows, small_artifact

SIZES = (1, 4, 16)


class Device:
    """Stands for ``torch.cuda``: everything is done at once, and noted."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []

    def Stream(self, device: torch.device) -> Any:  # noqa: N802 - as torch calls it
        return _Stream(self)

    def Event(self, *, blocking: bool) -> Any:  # noqa: N802 - as torch calls it
        assert blocking, "a waiting thread leaves the processor to others"
        return _Event(self)

    def graph_pool_handle(self) -> object:
        return object()

    def current_stream(self, device: torch.device) -> Any:
        return _Stream(self)

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        yield


class _Stream:
    def __init__(self, device: Device) -> None:
        self.device = device

    def wait_event(self, event: Any) -> None:
        self.device.log.append(("wait", event))

    def synchronize(self) -> None:
        pass


class _Event:
    def __init__(self, device: Device) -> None:
        self.device = device

    def record(self, stream: Any) -> None:
        self.device.log.append(("record", self))

    def synchronize(self) -> None:
        self.device.log.append(("synchronize", self))


class Eager(CudaGraphs):
    """Computes what a graph would replay."""

    def _capture(self, size: int) -> _Captured:
        answers = torch.full((size, self._outputs), torch.nan)

        def replay() -> None:
            answers.copy_(self._answering(self._windows[:size]))

        return _Captured(replay, answers)


def eager(artifact: Artifact, device: Device) -> Eager:
    shape = (artifact.manifest.window, len(artifact.manifest.channels))
    where = torch.device("cpu")
    return Eager(Answering(artifact.forecaster, None), SIZES, shape, 10, where, autocast=False, cuda=device)


@pytest.mark.parametrize("chunks", [[1], [4], [4, 1], [16, 16, 4], [16, 4, 4, 1, 1], [16] * 7])
@pytest.mark.parametrize("padding", [0, 1])
def test_each_window_has_its_own_answer_whatever_chunks_it_came_in(chunks: list[int], padding: int) -> None:
    artifact = small_artifact()
    n = sum(chunks) - min(padding, chunks[-1] - 1)
    windows = random_windows(artifact.manifest, sum(chunks) + 3)
    graphs = eager(artifact, Device())
    for _ in range(2):  # what a run leaves behind does not show in the next
        found = graphs.run(windows, n, chunks)
        expected = artifact.forecaster(torch.from_numpy(windows[:n])).flatten(1).numpy()
        np.testing.assert_allclose(found[:, :-1], expected, rtol=1e-5, atol=1e-5)
        assert not found[:, -1].any(), "nobody can tell what is strange here"


def test_no_windows_need_no_chunks() -> None:
    artifact = small_artifact()
    assert eager(artifact, Device()).run(random_windows(artifact.manifest, 3), 0, []).shape == (0, 10)


def test_next_chunk_is_copied_before_an_answer_is_waited_for_and_no_slot_is_filled_before_it_was_emptied() -> None:
    artifact, device = small_artifact(), Device()
    graphs = eager(artifact, device)
    windows = random_windows(artifact.manifest, 16 * 5)
    graphs.run(windows, 16 * 5, [16] * 5)
    slots = graphs._slots
    at = {
        name: [
            [index for index, entry in enumerate(device.log) if entry == (what, getattr(slot, event))] for slot in slots
        ]
        for name, what, event in (
            ("copied", "record", "copied"),
            ("computing", "wait", "copied"),
            ("refill", "wait", "consumed"),
            ("consumed", "record", "consumed"),
            ("answered", "record", "answered"),
            ("collected", "synchronize", "answered"),
        )
    }
    uses = [(chunk % SLOTS, chunk // SLOTS) for chunk in range(5)]
    for chunk, (slot, use) in enumerate(uses):
        copied = at["copied"][slot][use]
        assert at["refill"][slot][use] < copied < at["computing"][slot][use] < at["consumed"][slot][use]
        assert at["consumed"][slot][use] < at["answered"][slot][use] < at["collected"][slot][use]
        if use:
            assert at["collected"][slot][use - 1] < copied, "its pinned memory may still be being read"
        if chunk + 1 < len(uses):
            next_slot, next_use = uses[chunk + 1]
            assert at["copied"][next_slot][next_use] < at["collected"][slot][use], "copies run beside the computing"


def test_weights_cast_once_answer_as_autocast_does_which_casts_them_at_every_call() -> None:
    artifact = small_artifact()
    windows = random_windows(artifact.manifest, 24)
    cast = Predictor(artifact, "cpu", "bf16").predict(windows, 24)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        autocast = artifact.forecaster(torch.from_numpy(windows)).numpy()
    exact = Predictor(artifact, "cpu", "fp32").predict(windows, 24)
    assert not np.array_equal(autocast, exact), "bf16 was in use"
    np.testing.assert_allclose(cast, autocast, rtol=0.02, atol=0.01)


def test_array_is_its_own_pinned_copy_where_there_is_no_gpu() -> None:
    windows = np.zeros((2, 12, 32), np.float32)
    assert Predictor(small_artifact(), "cpu", "fp32").pinned(windows) is windows
