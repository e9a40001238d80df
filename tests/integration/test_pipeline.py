"""The whole flow over the in-memory seams."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Sequence
from typing import Any

import numpy as np
import pytest

from model.block import FrameBlock
from model.schema import CycleSteps, SampleSteps
from model.steps import new_state
from stream.assembly import BATCHES, assemble
from stream.clock import SystemClock
from stream.delivery import AtLeastOnce
from stream.memory import MemorySink, MemorySource
from stream.seams import Message, Partition, Record
from stream.settings import Settings
from stream.telemetry import Telemetry
from tests.small_model import FakeModel
from tests.telemetry import block, duty, fed, predictor, records

CYCLES = CycleSteps(window=8)
SAMPLES = SampleSteps(period_s=60, max_gap_s=600, window=20, stride=10)
BAD = Record(0, 0, b"P0", b"{not json")
each_kind = pytest.mark.parametrize("steps", [CYCLES, SAMPLES], ids=["cycle", "sample"])


def partitions(count: int, packs: int = 2, frames: int = 200, cells: int = 3) -> dict[Partition, list[Record]]:
    return {
        Partition("bms.telemetry", at): records([f"P{at}-{pack}" for pack in range(packs)], frames, cells, seed=at * 10)
        for at in range(count)
    }


async def run(steps, model, manifest, inputs, sink=None, settings=None, poll_records=100, telemetry=None):
    source = MemorySource(inputs, poll_records)
    sink = sink or MemorySink()
    await flow(source, sink, model, manifest, settings or Settings(), telemetry or Telemetry()).run()
    return source, sink


def flow(source, sink, model, manifest, settings, telemetry):
    clock = SystemClock()
    interval_s = settings.commit.interval_ms / 1000
    outlet = AtLeastOnce(sink, source.commit, interval_s=interval_s, telemetry=telemetry, clock=clock)
    return assemble(source, outlet, model, manifest, settings, telemetry=telemetry, clock=clock)


def predictions(sink: MemorySink) -> list[dict[str, Any]]:
    return [json.loads(message.value or b"") for message in sink.messages.get("bms.predictions", [])]


def identity(prediction: dict[str, Any]) -> tuple[str, int, int]:
    return prediction["pack_id"], prediction["cell"], prediction["step"]


def offline(steps, pack_seed: int, frames: int, cells: int) -> tuple[FrameBlock, Any]:
    columns = duty(frames, cells, pack_seed)
    whole = block(
        columns["t_ms"],
        columns["current_a"],
        columns["voltage_v"],
        cycle=columns["cycle"].tolist(),
        temp_degc=columns["temp_degc"],
    )
    return whole, fed(new_state(steps, cells), whole)


@each_kind
async def test_published_predictions_are_what_the_model_says_of_the_same_recording_offline(tmp_path, steps):
    model, manifest = predictor(tmp_path / "a", steps)
    _, sink = await run(steps, model, manifest, partitions(2))
    published = {identity(prediction): prediction for prediction in predictions(sink)}
    expected = 0
    for at in range(2):
        for pack in range(2):
            _, windows = offline(steps, at * 10 + pack, 200, 3)
            quantiles = model.predict(windows.windows, windows.slot.size)
            for row in range(windows.slot.size):
                expected += 1
                found = published[f"P{at}-{pack}", int(windows.slot[row]), int(windows.step[row])]
                assert found["t_ms"] == windows.t_ms[row]
                assert found["model"] == manifest.model_id
                if windows.length[row] < steps.min_steps:
                    assert found["flags"] == ["insufficient_data"]
                    assert "soh" not in found
                    continue
                soh = [found["soh"][key] for key in ("p05", "p50", "p95")]
                np.testing.assert_allclose(soh, quantiles[row, 0], atol=1e-5)
                assert found["capacity_ah"]["p50"] == pytest.approx(2.0 * soh[1], abs=1e-5)
                assert found["horizons"][0]["cycles"] == 50
                assert found["rul_cycles"]["eol_soh"] == 0.8
    assert expected == len(published) > 20


@each_kind
async def test_every_window_is_published_once_in_order_with_its_source(tmp_path, steps):
    model, manifest = predictor(tmp_path / "a", steps)
    inputs = partitions(3)
    source, sink = await run(steps, model, manifest, inputs, settings=Settings(batch={"max_windows": 5}))
    published = predictions(sink)
    assert len({identity(prediction) for prediction in published}) == len(published)
    steps_of: dict[tuple[str, int], list[int]] = {}
    for prediction in published:
        steps_of.setdefault((prediction["pack_id"], prediction["cell"]), []).append(prediction["step"])
        origin = prediction["source"]
        record = inputs[Partition(origin["topic"], origin["partition"])][origin["offset"]]
        assert json.loads(record.value or b"")["pack_id"] == prediction["pack_id"]
        assert json.loads(record.value or b"")["t_ms"] == prediction["t_ms"]
    assert all(steps == sorted(steps) for steps in steps_of.values())
    assert source.committed == {partition: len(given) for partition, given in inputs.items()}


@each_kind
async def test_a_prediction_goes_to_the_partition_of_its_telemetry(tmp_path, steps):
    model, manifest = predictor(tmp_path / "a", steps)
    _, sink = await run(steps, model, manifest, partitions(3), settings=Settings(batch={"max_windows": 5}))
    sent = sink.messages["bms.predictions"]
    assert {message.of for message in sent} == {0, 1, 2}
    assert all(message.of == json.loads(message.value or b"")["source"]["partition"] for message in sent)


async def test_bad_records_go_to_the_dead_letters_unchanged_and_the_rest_goes_on(tmp_path):
    model, manifest = predictor(tmp_path / "a", CYCLES)
    partition = Partition("bms.telemetry", 0)
    good = records(["P0"], 200, 3)
    bad = [
        b"{not json",
        b"\xff\x00",
        json.dumps({"kind": "pack", "pack_id": "P0", "t_ms": 1, "current_a": 0, "voltage_v": [3.3]}).encode(),
        good[0].value.replace(b"3.2", b"65.0") if good[0].value else b"",
        b"x" * 2_000_000,
    ]
    mixed = list(good)
    for at, value in enumerate(bad):
        mixed.insert(20 * (at + 1), Record(0, 123, b"key", value, (("vendor", b"v"),)))
    mixed = [record._replace(offset=offset) for offset, record in enumerate(mixed)]
    telemetry = Telemetry()
    source, sink = await run(CYCLES, model, manifest, {partition: mixed}, telemetry=telemetry)
    _, clean = await run(CYCLES, model, manifest, {partition: good})
    letters = sink.messages["bms.telemetry.dlq"]
    refused = [record for record in mixed if record.key == b"key"]
    assert [letter.value for letter in letters] == [record.value for record in refused]
    assert [letter.key for letter in letters] == [b"key"] * len(refused)
    for letter, record in zip(letters, refused, strict=True):
        headers = dict(letter.headers)
        assert headers["topic"] == b"bms.telemetry"
        assert headers["partition"] == b"0"
        assert headers["offset"] == str(record.offset).encode()
        assert headers["timestamp_ms"] == b"123"
        assert headers["stage"] in (b"decode", b"validate")
        assert headers["reason"]
        assert headers["error"]
    strip = [{key: value for key, value in found.items() if key != "source"} for found in predictions(sink)]
    assert strip == [{key: value for key, value in found.items() if key != "source"} for found in predictions(clean)]
    assert source.committed == {partition: len(mixed)}
    value = telemetry.registry.get_sample_value
    assert value("cyclecast_records_total", {"result": "ok"}) == len(good)
    assert value("cyclecast_records_total", {"result": "refused"}) == len(bad)
    assert value("cyclecast_predictions_total") == len(predictions(sink))


async def test_late_and_repeated_records_change_no_prediction_and_are_counted(tmp_path):
    model, manifest = predictor(tmp_path / "a", CYCLES)
    partition = Partition("bms.telemetry", 0)
    good = records(["P0"], 200, 3)
    shuffled = [*good[:100], *good[50:60], good[99], *good[100:]]
    shuffled = [record._replace(offset=offset) for offset, record in enumerate(shuffled)]
    telemetry = Telemetry()
    _, sink = await run(CYCLES, model, manifest, {partition: shuffled}, telemetry=telemetry)
    _, clean = await run(CYCLES, model, manifest, {partition: good})
    values = [(identity(found), found["t_ms"], found.get("soh")) for found in predictions(sink)]
    assert values == [(identity(found), found["t_ms"], found.get("soh")) for found in predictions(clean)]
    assert any(found["flags"] == ["late_input"] for found in predictions(sink))
    assert telemetry.registry.get_sample_value("cyclecast_late_records_total") == 10
    assert telemetry.registry.get_sample_value("cyclecast_duplicate_records_total") == 1


async def test_failing_model_ends_the_stream_and_nothing_unpublished_is_committed(tmp_path):
    _model, manifest = predictor(tmp_path / "a", CYCLES)

    class Failing(FakeModel):
        def predict(self, windows, n):
            raise RuntimeError("no such device")

    inputs = partitions(1)
    source = MemorySource(inputs, 1000)
    pipeline = flow(source, MemorySink(), Failing(), manifest, Settings(), Telemetry())
    with pytest.raises(ExceptionGroup) as raised:
        await pipeline.run()
    assert raised.group_contains(RuntimeError, match="model failed")
    assert source.committed == {}


async def test_values_that_are_not_finite_are_never_published(tmp_path):
    _model, manifest = predictor(tmp_path / "a", CYCLES)

    class Broken(FakeModel):
        def predict(self, windows, n):
            return np.full((n, 3, 3), np.nan, np.float32)

    _, sink = await run(CYCLES, Broken(), manifest, partitions(1))
    answered = [found for found in predictions(sink) if "insufficient_data" not in found["flags"]]
    assert answered
    assert all(found["flags"] == ["degraded"] and "soh" not in found for found in answered)


async def test_windows_that_the_model_finds_strange_are_flagged_and_no_others(tmp_path):
    model, manifest = predictor(tmp_path / "a", CYCLES)
    told = []

    class Wary(FakeModel):
        predict = model.predict

        def strange(self, windows, n):
            told.append(np.arange(n) % 3 == 1)
            return told[-1]

    _, sink = await run(CYCLES, Wary(), manifest, partitions(1))
    answers = [found["flags"] for found in predictions(sink) if "insufficient_data" not in found["flags"]]
    assert ["out_of_distribution" in flags for flags in answers] == np.concatenate(told).tolist()
    flagged = ["out_of_distribution" in found["flags"] for found in predictions(sink)]
    assert sum(flagged) > 3


async def test_slow_model_holds_the_source_back(tmp_path):
    model, manifest = predictor(tmp_path / "a", CYCLES)
    gate = threading.Event()
    read = 0

    class Slow(FakeModel):
        def predict(self, windows, n):
            gate.wait(60)
            return model.predict(windows, n)

        strange = model.strange

    def counted(given: Sequence[Record]):
        nonlocal read
        for record in given:
            read += 1
            yield record

    windows = 4
    given = records(["P0"], 2000, 3)
    source = MemorySource({Partition("bms.telemetry", 0): counted(given)}, poll_records=40)
    sink = MemorySink()
    settings = Settings(batch={"max_windows": windows})
    pipeline = flow(source, sink, Slow(), manifest, settings, Telemetry())
    running = asyncio.create_task(pipeline.run())
    await asyncio.sleep(0.3)
    # Each cycle of 40 frames makes three windows due: existing batches bound what is read. The first are too short.
    assert read <= 40 * (2 + CYCLES.min_steps - 1 + BATCHES * windows // 3)
    gate.set()
    await running
    assert read == len(given)
    assert len(predictions(sink)) == 3 * (2000 // 40 - 1)


async def test_offsets_wait_for_acknowledgement(tmp_path):
    model, manifest = predictor(tmp_path / "a", CYCLES)
    acknowledge, enough = asyncio.Event(), asyncio.Event()

    class Withholding(MemorySink):
        async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
            await super().send(messages)
            if len(predictions(self)) >= 12:
                enough.set()
            return self._wait()

        async def _wait(self) -> None:
            await acknowledge.wait()

    partition = Partition("bms.telemetry", 0)
    source, sink = MemorySource({partition: records(["P0"], 200, 3)}, 20), Withholding()
    settings = Settings(commit={"interval_ms": 5})
    pipeline = flow(source, sink, model, manifest, settings, Telemetry())
    running = asyncio.create_task(pipeline.run())
    await enough.wait()
    await asyncio.sleep(0.05)  # several commit intervals
    first = min(found["source"]["offset"] for found in predictions(sink))
    assert source.committed.get(partition, 0) <= first
    acknowledge.set()
    await running
    assert source.committed == {partition: 200}
