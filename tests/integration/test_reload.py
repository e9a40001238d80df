"""The model of a running service is replaced under load: nothing is lost, and every prediction says who made it."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import pytest

from model.schema import CycleSteps
from stream.kafka.sink import KafkaSink
from stream.kafka.topics import ensure, wanted
from stream.seams import Message, Record
from stream.settings import Settings
from tests.oracle import agree, clean_run
from tests.service import StreamProcess, predictions, settings, until_predicted
from tests.telemetry import artifact, records

STEPS = CycleSteps(window=8)
FRAMES, CELLS = 600, 4
PACKS = [f"P{number}" for number in range(6)]
WINDOWS = len(PACKS) * CELLS * (FRAMES // 40 - 1)


@pytest.fixture(scope="module")
def telemetry() -> list[Record]:
    return records(PACKS, FRAMES, CELLS)


async def flow(given: Settings, telemetry: list[Record], seconds: float) -> None:
    """Sends the records evenly over ``seconds``."""
    sink = await KafkaSink.start(given, patience_s=10)
    pieces = 100
    size = -(-len(telemetry) // pieces)
    for start in range(0, len(telemetry), size):
        piece = [Message(given.topics.telemetry, each.key, each.value) for each in telemetry[start : start + size]]
        await (await sink.send(piece))
        await asyncio.sleep(seconds / pieces)
    await sink.stop()


async def test_model_is_swapped_under_load_nothing_is_lost_and_each_prediction_is_of_the_model_that_it_names(
    kafka, topic, telemetry, tmp_path
):
    old = artifact(tmp_path / "old", STEPS).manifest
    new = artifact(tmp_path / "new", STEPS, seed=8).manifest
    live = tmp_path / "live"
    shutil.copytree(tmp_path / "old", live)
    given = settings(kafka.bootstrap, topic, live, batch={"max_windows": 8})
    await ensure(given, wanted(given))
    async with StreamProcess(given) as service:
        await service.said("streaming")
        flowing = asyncio.create_task(flow(given, telemetry, seconds=6))
        await until_predicted(given, WINDOWS // 6)
        replaced(live, tmp_path / "new")
        await service.said("model swapped")  # found by itself
        assert f'cyclecast_model_info{{hash="{new.model_id}"}} 1.0' in await service.get("/metrics")
        weights = bytearray((live / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (live / "model.safetensors").write_bytes(bytes(weights))
        manifest = live / "manifest.json"
        manifest.write_text(manifest.read_text().replace(new.sha256, old.sha256))
        service.send(signal.SIGHUP)
        await service.said("new model refused")
        await flowing
        await until_predicted(given, WINDOWS)
        assert 'cyclecast_model_reloads_total{result="ok"} 1.0' in await service.get("/metrics")
        service.send(signal.SIGTERM)
        assert await service.ended() == 0, service.log
    found = await predictions(given)
    by_model = {each.model_id: [one for one in found if one["model"] == each.model_id] for each in (old, new)}
    assert sum(map(len, by_model.values())) == len(found)
    assert len(by_model[old.model_id]) >= WINDOWS // 6
    assert by_model[new.model_id]
    oracles = {
        each.model_id: await asyncio.to_thread(clean_run, tmp_path / name, telemetry)
        for name, each in (("old", old), ("new", new))
    }
    identity = [(each["pack_id"], each["cell"], each["step"]) for each in found]
    mixed = {one: oracles[each["model"]][one] for one, each in zip(identity, found, strict=True)}
    assert mixed.keys() == oracles[old.model_id].keys()
    agree(found, mixed, once=True)
    for cell in {(each["pack_id"], each["cell"]) for each in found}:
        order = [each["model"] for each in found if (each["pack_id"], each["cell"]) == cell]
        assert order == sorted(order, key=[old.model_id, new.model_id].index), "the swap is one point in the stream"


def replaced(folder: Path, by: Path) -> None:
    """As a person would copy a new artifact: file by file, the weights slowly."""
    for file in sorted(by.iterdir()):
        shutil.copyfile(file, folder / file.name)


async def test_workers_hear_of_sighup_even_while_they_start(kafka, topic, tmp_path):
    artifact(tmp_path / "model", STEPS)
    given = settings(kafka.bootstrap, topic, tmp_path / "model")
    async with StreamProcess(given, "--workers", "2") as service:
        await service.said("workers started")
        service.send(signal.SIGHUP)
        await service.said('"streaming"', times=2)
        artifact(tmp_path / "model", STEPS, seed=8)
        service.send(signal.SIGHUP)
        await service.said("model swapped", times=2)
        service.send(signal.SIGTERM)
        assert await service.ended() == 0, service.log
