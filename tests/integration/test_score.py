"""Measured capacities in telemetry: the service scores itself, and its intervals adapt, whoever reads and dies."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artifact import load
from model.predictor import Predictor
from model.schema import CycleSteps, SampleSteps
from stream.assembly import assemble
from stream.clock import SystemClock
from stream.delivery import AtLeastOnce
from stream.memory import MemorySink, MemorySource
from stream.seams import Partition, Record
from stream.settings import Settings
from stream.telemetry import Telemetry
from stream.truths import Truth
from tests.oracle import agree, clean_run
from tests.service import StreamProcess, predictions, produce, settings
from tests.telemetry import T0_MS, artifact, duty

FRAMES, FRAMES_A_CYCLE = 400, 10
CELLS = [f"C{number}" for number in range(3)]
KINDS = [CycleSteps(window=8), SampleSteps(period_s=60, max_gap_s=240, window=20, stride=4)]
each_kind = pytest.mark.parametrize("steps", KINDS, ids=["cycle", "sample"])


def telemetry(soh: float | None) -> list[Record]:
    """Three cells, each cycle of which ends with a record that says its capacity: ``soh`` of 2 Ah, and less later."""
    values: list[tuple[str, dict[str, Any]]] = []
    columns = {name: duty(FRAMES, 1, at, frames_a_cycle=FRAMES_A_CYCLE) for at, name in enumerate(CELLS)}
    for at in range(FRAMES):
        for name, of_cell in columns.items():
            value = {
                "v": 1,
                "kind": "cell",
                "pack_id": name,
                "cell": 0,
                "t_ms": int(of_cell["t_ms"][at]),
                "current_a": round(float(of_cell["current_a"][at]), 2),
                "voltage_v": round(float(of_cell["voltage_v"][at, 0]), 3),
                "temp_degc": 25.0,
                "cycle": int(of_cell["cycle"][at]),
                "nominal_capacity_ah": 2.0,
            }
            if soh is not None and at % FRAMES_A_CYCLE == FRAMES_A_CYCLE - 1:
                value["capacity_ah"] = round(2.0 * soh * (1 - 0.002 * int(of_cell["cycle"][at])), 4)
            values.append((name, value))
    return [
        Record(offset, T0_MS + 10**10, name.encode(), json.dumps(value).encode())
        for offset, (name, value) in enumerate(values)
    ]


def run(model: Path, records: Sequence[Record], *, adapts: bool, **how: int) -> tuple[list[dict[str, Any]], Telemetry]:
    """What is published in one partition, in order, and what was counted."""
    given = Settings.model_validate(
        {
            "model": {"adapt_intervals": adapts},
            "batch": {"max_windows": how.get("windows", 64)},
            "limits": {"max_out_of_orderness_s": how.get("out_of_order_s", 0)},
        }
    )
    loaded, sink, counted, clock = load(model), MemorySink(), Telemetry(), SystemClock()
    source = MemorySource({Partition("t", 0): records}, how.get("poll_records", 500))
    outlet = AtLeastOnce(sink, source.commit, interval_s=1.0, telemetry=counted, clock=clock)
    answering = Predictor(loaded, "cpu", "fp32")
    asyncio.run(assemble(source, outlet, answering, loaded.manifest, given, telemetry=counted, clock=clock).run())
    return [json.loads(message.value or b"") for message in sink.messages["bms.predictions"]], counted


def metric(counted: Telemetry, name: str, **labels: str) -> float:
    found = counted.registry.get_sample_value(f"cyclecast_{name}", labels)
    assert found is not None
    return found


@each_kind
def test_live_score_is_the_error_and_coverage_that_can_be_computed_from_what_is_published(tmp_path, steps):
    artifact(tmp_path / "a", steps)
    records = telemetry(1.0)
    for adapts in (False, True):
        published, counted = run(tmp_path / "a", records, adapts=adapts)
        newest = {(each["pack_id"], each.get("cycle")): each for each in published if "soh" in each}
        errors, inside = [], []
        for name in CELLS:
            for cycle in range(FRAMES // FRAMES_A_CYCLE):
                told = newest.get((name, cycle))
                if told is not None and (isinstance(steps, CycleSteps) or cycle > 2):
                    capacity_ah = round(2.0 * (1 - 0.002 * cycle), 4)
                    errors.append(abs(capacity_ah / 2.0 - told["soh"]["p50"]))
                    inside.append(told["capacity_ah"]["p05"] <= capacity_ah <= told["capacity_ah"]["p95"])
        scored = metric(counted, "truths_total", result="scored")
        assert abs(scored - len(errors)) <= 3 * len(
            CELLS
        )  # the first cycles of the sample steps, before a window is full
        if isinstance(steps, CycleSteps):
            assert scored == len(errors)
            assert metric(counted, "soh_error") == pytest.approx(np.mean(errors), abs=1e-5)
            assert metric(counted, "soh_coverage") == pytest.approx(np.mean(inside))
        total = sum(
            metric(counted, "truths_total", result=fate) for fate in ("scored", "unmatched", "repeated", "pack")
        )
        assert total + metric(counted, "truths_waiting") == len(CELLS) * FRAMES // FRAMES_A_CYCLE


def test_published_intervals_do_not_depend_on_how_the_log_was_cut_into_polls_and_batches(tmp_path):
    artifact(tmp_path / "a", KINDS[0])
    records = telemetry(1.0)
    expected, _ = run(tmp_path / "a", records, adapts=True)
    plain, _ = run(tmp_path / "a", records, adapts=False)
    assert sum(mine != theirs for mine, theirs in zip(expected, plain, strict=True)) > len(plain) / 2
    found, _ = run(tmp_path / "a", records, adapts=True, poll_records=7, windows=3)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine["pack_id"], mine["step"]) == (theirs["pack_id"], theirs["step"])
        if "soh" in mine:
            np.testing.assert_allclose(list(mine["soh"].values()), list(theirs["soh"].values()), atol=1e-5)


async def test_numbers_of_partitions_that_went_to_others_are_no_longer_shown(tmp_path):
    loaded, counted, clock = artifact(tmp_path / "a", KINDS[0]), Telemetry(), SystemClock()
    partition = Partition("t", 0)
    source = MemorySource({partition: telemetry(1.0)[:-3]})
    outlet = AtLeastOnce(MemorySink(), source.commit, interval_s=1.0, telemetry=counted, clock=clock)
    given = Settings.model_validate({"model": {"adapt_intervals": True}})
    answering = Predictor(loaded, "cpu", "fp32")
    pipeline = assemble(source, outlet, answering, loaded.manifest, given, telemetry=counted, clock=clock)
    await pipeline.run()
    pipeline.scores[partition].settle([], [(0, Truth("C0", 0, 99, 1.9))])
    pipeline.scores[Partition("t", 1)] = pipeline.scores[partition]
    pipeline.discard([Partition("t", 1)])
    assert metric(counted, "truths_waiting") == 1
    assert metric(counted, "interval_factor", partition="0") != 1
    pipeline.discard([partition])
    assert metric(counted, "truths_waiting") == 0
    assert counted.registry.get_sample_value("cyclecast_interval_factor", {"partition": "0"}) is None


def test_capacities_that_overtook_earlier_records_score_as_if_they_had_come_in_order(tmp_path):
    artifact(tmp_path / "a", KINDS[0])
    in_order = [record for record in telemetry(1.0) if record.key == b"C0"]
    overtaken = [in_order[at ^ 1]._replace(offset=at) for at in range(len(in_order))]
    expected, _ = run(tmp_path / "a", in_order, adapts=True)
    found, counted = run(tmp_path / "a", overtaken, adapts=True, out_of_order_s=120)
    assert metric(counted, "late_records_total") == 0
    assert len(found) == len(expected) == FRAMES // FRAMES_A_CYCLE - 1
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.get("soh") == pytest.approx(theirs.get("soh"), abs=1e-5)


def test_telemetry_without_measured_capacities_is_answered_as_if_nothing_could_adapt(tmp_path):
    artifact(tmp_path / "a", KINDS[0])
    records = telemetry(None)
    assert run(tmp_path / "a", records, adapts=True)[0] == run(tmp_path / "a", records, adapts=False)[0]


async def test_intervals_of_a_service_that_dies_and_comes_back_are_those_of_an_undisturbed_run(kafka, topic, tmp_path):
    artifact(tmp_path / "a", KINDS[0])
    records = telemetry(1.0)
    given = settings(kafka.bootstrap, topic, tmp_path / "a")
    adapting = given.model.model_copy(update={"adapt_intervals": True})
    alone = given.topics.model_copy(update={"partitions": 1})  # as in the run that it is held against
    given = given.model_copy(update={"model": adapting, "topics": alone})
    third = len(records) // 3
    for part, fault in enumerate(("committed:1", "sent:1", None)):
        await produce(given, records[part * third : (part + 1) * third if fault else None])
        async with StreamProcess(given, "--until-idle", "1", fault=fault) as service:
            assert await service.ended() == (-signal.SIGKILL if fault else 0), service.log
    oracle = await asyncio.to_thread(clean_run, tmp_path / "a", records, {"model": {"adapt_intervals": True}})
    agree(await predictions(given), oracle, once=True)
    plain = await asyncio.to_thread(clean_run, tmp_path / "a", records)
    assert sum(plain[name] != oracle[name] for name in plain) > len(plain) / 2
