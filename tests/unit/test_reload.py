"""What becomes of a newer model in the folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from model.artifact import Artifact, Manifest, build, save
from model.predictor import Predictor
from model.schema import CycleSteps
from stream.reload import Reloader, incompatible
from stream.telemetry import Telemetry
from tests.telemetry import SOH, artifact, manifest

STEPS = CycleSteps(window=8)


class Stream:
    """Takes what a reloader swaps in."""

    def __init__(self, folder: Path, warmed: Callable[[Artifact], Predictor] | None = None) -> None:
        self.first = artifact(folder, STEPS).manifest
        self.swapped: list[str] = []
        self.restore: list[Callable[[Exception], None]] = []
        self.telemetry = Telemetry()
        self.telemetry.model_is(self.first.model_id)
        self.reloader = Reloader(str(folder), self.first, warmed or made, self.swap, self.telemetry)

    async def swap(self, predictor: Predictor, restored: Callable[[Exception], None]) -> None:
        self.swapped.append(predictor.model_id)
        self.restore.append(restored)

    def counted(self) -> dict[str, float]:
        value = self.telemetry.registry.get_sample_value
        results = ("ok", "unchanged", "refused", "failed")
        counts = {each: value("cyclecast_model_reloads_total", {"result": each}) or 0 for each in results}
        return {each: count for each, count in counts.items() if count}

    def answering(self, model: Manifest) -> bool:
        return self.telemetry.registry.get_sample_value("cyclecast_model_info", {"hash": model.model_id}) == 1


def made(found: Artifact) -> Predictor:
    return Predictor(found, "cpu", "fp32")


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifact"


async def test_newer_model_is_swapped_in_and_named(folder):
    stream = Stream(folder)
    newer = artifact(folder, STEPS, seed=8).manifest
    await stream.reloader.reload()
    assert stream.swapped == [newer.model_id] != [stream.first.model_id]
    assert stream.answering(newer)
    assert stream.counted() == {"ok": 1}


async def test_same_model_is_not_loaded_again(folder):
    stream = Stream(folder)
    await stream.reloader.reload()
    assert stream.swapped == []
    assert stream.counted() == {"unchanged": 1}


async def test_broken_files_change_nothing(folder):
    stream = Stream(folder)
    artifact(folder, STEPS, seed=8)
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(weights))
    await stream.reloader.reload()
    (folder / "manifest.json").write_text("{")
    await stream.reloader.reload()
    (folder / "manifest.json").unlink()
    await stream.reloader.reload()
    assert stream.swapped == []
    assert stream.answering(stream.first)
    assert stream.counted() == {"refused": 3}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": CycleSteps(window=8, min_depth=0.6)}, "steps"),
        ({"targets": SOH}, "targets"),
        ({"eol_soh": 0.7}, "eol_soh"),
    ],
)
async def test_model_of_other_steps_or_targets_is_refused_and_the_reason_names_them(folder, changes, named):
    stream = Stream(folder)
    wanted = manifest(changes.get("steps", STEPS), changes.get("targets", stream.first.targets))
    wanted = wanted.model_copy(update={"eol_soh": changes.get("eol_soh", 0.8)})
    other = save(folder, wanted, build(wanted).network.state_dict(), "another")
    reason = incompatible(stream.first, other)
    assert reason is not None
    assert reason.startswith(f"{named} is ")
    await stream.reloader.reload()
    assert stream.swapped == []
    assert stream.counted() == {"refused": 1}
    assert stream.answering(stream.first)


async def test_model_that_raises_when_it_is_warmed_changes_nothing(folder):
    def exploding(found: Artifact) -> Predictor:
        raise RuntimeError("out of device memory")

    stream = Stream(folder, exploding)
    artifact(folder, STEPS, seed=8)
    await stream.reloader.reload()
    assert stream.swapped == []
    assert stream.counted() == {"failed": 1}
    assert stream.answering(stream.first)


async def test_model_without_finite_answers_changes_nothing(folder):
    stream = Stream(folder)
    wanted = manifest(STEPS)
    tensors = {name: torch.full_like(tensor, np.nan) for name, tensor in build(wanted).network.state_dict().items()}
    save(folder, wanted, tensors, "not a number")
    await stream.reloader.reload()
    assert stream.swapped == []
    assert stream.counted() == {"failed": 1}


async def test_former_model_is_named_again_when_it_has_to_answer_again(folder):
    stream = Stream(folder)
    newer = artifact(folder, STEPS, seed=8).manifest
    await stream.reloader.reload()
    stream.restore[0](RuntimeError("no"))
    assert stream.answering(stream.first)
    assert not stream.answering(newer)
    assert stream.counted() == {"ok": 1, "failed": 1}


async def test_changed_folder_is_found_once_it_lies_still_and_tried_once(folder, monkeypatch):
    monkeypatch.setattr("stream.reload.LOOK_S", 0.01)
    stream = Stream(folder)
    running = asyncio.create_task(stream.reloader.run())
    await asyncio.sleep(0.1)
    newer = artifact(folder, STEPS, seed=8).manifest
    await until(lambda: bool(stream.swapped))
    (folder / "manifest.json").write_text("{")
    await until(lambda: "refused" in stream.counted())
    await asyncio.sleep(0.2)
    running.cancel()
    assert stream.swapped == [newer.model_id]
    assert stream.counted()["refused"] == 1, "what was refused is not tried again until it changes"
