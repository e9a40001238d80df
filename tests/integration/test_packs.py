"""Roll-ups and alerts as the whole flow publishes them, over the in-memory seams."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from model.artifact import Manifest
from model.schema import CycleSteps, SampleSteps
from stream.assembly import assemble
from stream.clock import SystemClock
from stream.delivery import AtLeastOnce
from stream.memory import MemorySink, MemorySource
from stream.rollup import WEAKEST
from stream.runner import Model
from stream.seams import Partition, Record
from stream.settings import Settings
from stream.telemetry import Telemetry
from tests.telemetry import predictor, records

CYCLES = CycleSteps(window=8)
SAMPLES = SampleSteps(period_s=60, max_gap_s=600, window=20, stride=10)
WATCHFUL = {"alerts": {"patience": 2, "outlier_soh": 0.001}, "warranty": {"cycles": 6}}
each_kind = pytest.mark.parametrize("steps", [CYCLES, SAMPLES], ids=["cycle", "sample"])


def published(
    model: Model, manifest: Manifest, telemetry: list[Record], poll_records: int = 100, **more: Any
) -> tuple[dict[str, list[dict[str, Any]]], list[tuple[bytes | None, bytes | None]], Telemetry]:
    """What goes to each topic, roll-ups as they are written, and the metrics."""
    source, sink, counted, clock = (
        MemorySource({Partition("t", 0): telemetry}, poll_records),
        MemorySink(),
        Telemetry(),
        SystemClock(),
    )
    outlet = AtLeastOnce(sink, source.commit, interval_s=1.0, telemetry=counted, clock=clock)
    settings = Settings.model_validate({**WATCHFUL, **more})
    asyncio.run(assemble(source, outlet, model, manifest, settings, telemetry=counted, clock=clock).run())
    found = {
        topic: [json.loads(each.value) for each in messages if each.value is not None]
        for topic, messages in sink.messages.items()
    }
    return found, [(each.key, each.value) for each in sink.messages["bms.packs"]], counted


@each_kind
def test_the_newest_roll_up_of_a_pack_is_what_the_newest_predictions_of_its_cells_say(
    tmp_path: Path, steps: Any
) -> None:
    model, manifest = predictor(tmp_path / "a", steps)
    found, _, _ = published(model, manifest, records(["P0", "P1"], 400, 7))
    newest = {(each["pack_id"], each["cell"]): each for each in found["bms.predictions"]}
    for rollup in {each["pack_id"]: each for each in found["bms.packs"]}.values():
        cells = [each for (pack_id, _), each in newest.items() if pack_id == rollup["pack_id"]]
        assert (rollup["cells"], rollup["answered"]) == (7, 7)
        for name in ("soh", "rul_cycles"):
            least = {key: min(each[name][key] for each in cells) for key in ("p05", "p50", "p95")}
            assert {key: rollup[name][key] for key in least} == pytest.approx(least, abs=1e-6)
        weakest = sorted(cells, key=lambda each: each["soh"]["p50"])[:WEAKEST]
        assert [each["cell"] for each in rollup["weakest"]] == [each["cell"] for each in weakest]
        assert rollup.get("p_warranty") == pytest.approx(
            max((each["p_warranty"] for each in cells if "p_warranty" in each), default=None)
        )
        assert rollup["t_ms"] == max(each["t_ms"] for each in cells)
        assert rollup["source"]["offset"] == max(each["source"]["offset"] for each in cells)


@each_kind
def test_however_records_are_polled_and_batched_the_same_alerts_and_newest_roll_ups_come_of_them(
    tmp_path: Path, steps: Any
) -> None:
    model, manifest = predictor(tmp_path / "a", steps)
    telemetry = records([f"P{pack}" for pack in range(3)], 400, 7)
    expected, _, _ = published(model, manifest, telemetry)
    assert expected["bms.alerts"]
    for poll_records, max_windows in ((1, 256), (7, 3), (5000, 10)):
        found, _, _ = published(model, manifest, telemetry, poll_records, batch={"max_windows": max_windows})
        assert sorted(found["bms.alerts"], key=str) == sorted(expected["bms.alerts"], key=str)
        newest, before = ({each["pack_id"]: each for each in every["bms.packs"]} for every in (found, expected))
        assert newest == before


def test_alerts_are_counted_as_they_begin_and_end_and_while_they_stand(tmp_path: Path) -> None:
    model, manifest = predictor(tmp_path / "a", CYCLES)
    found, _, counted = published(model, manifest, records(["P0"], 600, 4))
    value = counted.registry.get_sample_value
    for kind in ("warranty", "outlier"):
        raised, over = (
            sum(each["kind"] == kind and each["raised"] is now for each in found["bms.alerts"]) for now in (True, False)
        )
        assert value("cyclecast_alerts_total", {"kind": kind, "result": "raised"}) == raised
        assert value("cyclecast_alerts_total", {"kind": kind, "result": "over"}) == over
        assert value("cyclecast_alerts_standing", {"kind": kind}) == raised - over
        assert found["bms.packs"][-1]["alerts"].get(kind, 0) == raised - over
    assert any(each["kind"] == "warranty" for each in found["bms.alerts"])


def test_of_a_pack_that_is_forgotten_the_roll_up_is_taken_away(tmp_path: Path) -> None:
    model, manifest = predictor(tmp_path / "a", CYCLES)
    arrived_ms = 1_700_100_000_000
    first = [each._replace(timestamp=arrived_ms) for each in records(["P0"], 300, 3)]
    later = [each._replace(timestamp=arrived_ms + 8 * 3600 * 1000) for each in records(["P1"], 300, 3)]
    telemetry = [each._replace(offset=at) for at, each in enumerate(first + later)]
    _, written, counted = published(model, manifest, telemetry, state={"idle_ttl_s": 7200})
    assert written.count((b"P0", None)) == 1
    assert dict(written)[b"P0"] is None
    assert dict(written)[b"P1"] is not None
    assert counted.registry.get_sample_value("cyclecast_cells") == 3
