"""A model on trial answers the same windows, is compared, and never gets in the way."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artifact import Artifact
from model.predictor import Predictor
from model.schema import CycleSteps
from stream.assembly import assemble, shadow_of
from stream.clock import SystemClock
from stream.delivery import AtLeastOnce
from stream.memory import MemorySink, MemorySource
from stream.seams import Message, Partition, Record
from stream.settings import Settings
from stream.telemetry import Telemetry
from tests.service import StreamProcess, consumed, predictions, produce, settings, until_predicted
from tests.small_model import FakeModel
from tests.telemetry import SOH, artifact, records

STEPS = CycleSteps(window=8)
FRAMES, CELLS = 400, 3
WINDOWS = 2 * CELLS * (FRAMES // 40 - 1)
SHORT = 2 * CELLS * (STEPS.min_steps - 1)  # of these: no model is asked for them
SHADOW = "bms.predictions.shadow"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    folder = tmp_path_factory.mktemp("models")
    return artifact(folder / "first", STEPS), artifact(folder / "second", STEPS, SOH, seed=8)


def telemetry_of(packs: int = 2) -> list[Record]:
    return records([f"P{number}" for number in range(packs)], FRAMES, CELLS)


async def shadowed(
    models: tuple[Artifact, Artifact],
    second: Any = None,
    sink: MemorySink | None = None,
    answered: int = WINDOWS,
    main: Any = None,
) -> tuple[MemorySink, MemorySink, dict[str, float]]:
    """The first model's sink, its shadow's, and what of the shadow was counted, once so many are ``answered``."""
    first, trial = models
    source, published, telemetry = MemorySource({Partition("t", 0): telemetry_of()}, 40), MemorySink(), Telemetry()
    clock = SystemClock()
    outlet = AtLeastOnce(published, source.commit, interval_s=1.0, telemetry=telemetry, clock=clock)
    given = Settings(batch={"max_windows": 8})
    pipeline = assemble(
        source, outlet, main or Predictor(first, "cpu", "fp32"), first.manifest, given, telemetry=telemetry, clock=clock
    )
    aside = sink or MemorySink()
    model = second or Predictor(trial, "cpu", "fp32")
    pipeline.shadow = shadow_of(pipeline, first.manifest, trial.manifest, model, aside, given)
    running = asyncio.create_task(pipeline.shadow.run())
    await pipeline.run()
    value = telemetry.registry.get_sample_value

    def counted() -> dict[str, float]:
        results = ("compared", "dropped", "failed")
        found = {each: value("cyclecast_shadow_windows_total", {"result": each}) or 0.0 for each in results}
        return found | {"difference": value("cyclecast_shadow_soh_difference_total") or 0.0}

    for _ in range(2000):  # what was offered last is still on its way
        if len(told(aside, SHADOW)) + counted()["dropped"] + counted()["failed"] >= answered:
            break
        await asyncio.sleep(0.01)
    running.cancel()
    return published, aside, counted()


def told(sink: MemorySink, topic: str) -> dict[tuple[str, int, int], dict[str, Any]]:
    found = [json.loads(message.value or b"") for message in sink.messages.get(topic, [])]
    return {(each["pack_id"], each["cell"], each["step"]): each for each in found}


async def test_shadow_answers_the_same_windows_and_the_mean_difference_is_that_of_the_two(models):
    main, aside, counted = await shadowed(models)
    first, second = told(main, "bms.predictions"), told(aside, SHADOW)
    assert len(first) == WINDOWS
    assert second.keys() <= first.keys()
    assert len(second) + counted["dropped"] == WINDOWS
    assert {each["model"] for each in second.values()} == {models[1].model_id} != {models[0].model_id}
    answered = [one for one, each in second.items() if "soh" in each]
    assert len(answered) == counted["compared"] > 0
    expected = sum(abs(first[one]["soh"]["p50"] - second[one]["soh"]["p50"]) for one in answered)
    assert counted["difference"] == pytest.approx(expected, abs=1e-5 * len(answered))
    assert expected > 0


class Trial(FakeModel):
    model_id = "trial@000000000000"


async def clean(models: tuple[Artifact, Artifact]) -> dict[tuple[str, int, int], dict[str, Any]]:
    main, _, _ = await shadowed(models)
    return told(main, "bms.predictions")


async def test_shadow_that_hangs_delays_nothing_and_its_windows_are_dropped_and_counted(models):
    forever = threading.Event()

    class Hanging(Trial):
        def predict(self, windows: np.ndarray, n: int) -> np.ndarray:
            forever.wait()
            return np.zeros((n, 1, 3), np.float32)

    main, aside, counted = await asyncio.wait_for(shadowed(models, Hanging(), answered=0), 30)
    forever.set()
    assert told(main, "bms.predictions") == await clean(models)
    assert not any("soh" in each for each in told(aside, SHADOW).values())
    assert WINDOWS - SHORT - 2 * 9 <= counted["dropped"] < WINDOWS, "no more than the spare batches are held for it"


async def test_shadow_that_raises_fails_alone_and_goes_on(models):
    class Failing(Trial):
        calls = 0

        def predict(self, windows: np.ndarray, n: int) -> np.ndarray:
            Failing.calls += 1
            if Failing.calls % 2:
                raise RuntimeError("not today")
            return np.full((n, 1, 3), 0.9, np.float32)

    main, aside, counted = await shadowed(models, Failing())
    assert told(main, "bms.predictions") == await clean(models)
    assert counted["failed"] > 0
    assert counted["compared"] > 0
    assert len(told(aside, SHADOW)) == WINDOWS - counted["failed"] - counted["dropped"]


async def test_what_is_strange_to_one_model_is_not_said_by_the_other(models):
    class Wary(Predictor):
        def strange(self, windows: np.ndarray, n: int) -> np.ndarray:
            return np.ones(n, bool)

    first, trial = models
    main, aside, _ = await shadowed(models, main=Wary(first, "cpu", "fp32"))
    assert strange(main, "bms.predictions") == {True}
    assert strange(aside, SHADOW) == {False}
    main, aside, _ = await shadowed(models, Wary(trial, "cpu", "fp32"))
    assert strange(main, "bms.predictions") == {False}
    assert strange(aside, SHADOW) == {True}


def strange(sink: MemorySink, topic: str) -> set[bool]:
    """Whether windows that were answered carry the flag."""
    return {"out_of_distribution" in each["flags"] for each in told(sink, topic).values() if "soh" in each}


async def test_topic_of_the_shadow_that_fails_or_hangs_fails_alone(models):
    class Refusing(MemorySink):
        async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
            raise RuntimeError("no such topic")

    class Hanging(MemorySink):
        async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
            return asyncio.get_running_loop().create_future()

    expected = await clean(models)
    for sink in (Refusing(), Hanging()):
        main, _, counted = await asyncio.wait_for(shadowed(models, sink=sink, answered=0), 30)
        assert told(main, "bms.predictions") == expected
        assert counted["compared"] == 0


async def test_service_with_a_shadow_publishes_both_and_tells_how_far_they_are_apart(kafka, topic, models, tmp_path):
    artifact(tmp_path / "first", STEPS)
    artifact(tmp_path / "second", STEPS, SOH, seed=8)
    given = shadowing(kafka.bootstrap, topic, tmp_path)
    compared = 'cyclecast_shadow_windows_total{result="compared"}'
    async with StreamProcess(given) as service:
        await service.said("shadowed")
        await produce(given, telemetry_of())
        await until_predicted(given, WINDOWS)
        metrics = await service.until_metrics(lambda found: found.get(compared, 0) > 0)
        service.send(signal.SIGTERM)
        assert await service.ended() == 0, service.log
    assert metrics["cyclecast_shadow_soh_difference_total"] > 0
    mine = {(each["pack_id"], each["cell"], each["step"]) for each in await predictions(given)}
    found = [json.loads(each.value) for each in await consumed(given, given.topics.shadow_predictions)]
    theirs = {(each["pack_id"], each["cell"], each["step"]) for each in found}
    assert len(mine) == WINDOWS
    assert theirs
    assert theirs <= mine


async def test_shadow_of_other_windows_is_refused_with_a_reason_and_the_service_goes_on_without(kafka, topic, tmp_path):
    artifact(tmp_path / "first", STEPS)
    artifact(tmp_path / "second", CycleSteps(window=9))
    given = shadowing(kafka.bootstrap, topic, tmp_path)
    async with StreamProcess(given, "--until-idle", "1") as service:
        assert await service.ended() == 0, service.log
    assert "the shadow model does not run" in service.log
    assert "steps is" in service.log


def shadowing(bootstrap: str, topic: str, folder: Path) -> Settings:
    model = {"path": str(folder / "first"), "shadow": str(folder / "second")}
    return settings(bootstrap, topic, folder / "first").model_copy(update={"model": Settings(model=model).model})
