"""Real recordings through real Kafka, by the commands that a user types, held against backtest and recording."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaConsumer

from model.dataset import block_of
from model.recording import Recording
from model.schema import CycleSteps
from model.steps import new_state
from replay.readers import read
from tests.service import ROOT, StreamProcess, as_environment, consumed, settings
from tests.telemetry import artifact, fed

NASA = ("B0005", "B0006")
UNTIL = "2020-01-12T00:00:00"  # recordings without a date begin in 2020: some forty cycles of each cell


async def cyclecast(given: Any, *arguments: object) -> str:
    """Runs a command to its end; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cyclecast",
        *map(str, arguments),
        cwd=ROOT,
        env={**os.environ, **as_environment(given)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 200)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def plainly_consumed(bootstrap: str, topic: str, least: int) -> list[dict[str, Any]]:
    """What any consumer of the topic reads, with nothing of cyclecast in it."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: list[dict[str, Any]] = []
    try:
        while len(found) < least:
            fetched = await consumer.getmany(timeout_ms=5000)
            assert fetched, f"{len(found)} predictions of {least}, and no more"
            found += [json.loads(record.value) for records in fetched.values() for record in records]
    finally:
        await consumer.stop()
    return found


def expected(recordings: list[Recording], steps: CycleSteps) -> dict[tuple[str, int, int], int]:
    """The step count of each window that the recordings make due, by identity, from the offline side alone."""
    due = {}
    for recording in recordings:
        windows = fed(new_state(steps, recording.cells), block_of(recording))
        for slot, step, t_ms in zip(windows.slot, windows.step, windows.t_ms, strict=True):
            due[recording.pack_id, int(slot), int(step)] = int(t_ms)
    return due


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "artifact"
    artifact(folder, CycleSteps(window=16))
    return folder


async def test_replayed_recordings_give_what_the_backtest_gives_record_by_record(
    kafka, topic, model, recorded_data, tmp_path
):
    given = settings(kafka.bootstrap, topic, model)
    cells = [recorded_data / "nasa_pcoe" / f"{name}.parquet" for name in NASA]
    car = recorded_data / "leaf_bms"
    recordings = [*read(cells, end=np.datetime64(UNTIL).astype("datetime64[s]").item()), *read([car])]
    due = expected(recordings, CycleSteps(window=16))
    assert {pack_id for pack_id, _, _ in due} == {*NASA, "leaf_A"}

    async with StreamProcess(given) as service:
        await service.said("partitions assigned")
        sent = json.loads(await cyclecast(given, "replay", *cells, "--end", UNTIL, "--speed", "max", "--json"))
        assert sent["records"] == sum(recording.frames for recording in recordings[:2])
        sent = json.loads(await cyclecast(given, "replay", car, "--speed", "max", "--json"))
        assert sent["records"] == recordings[2].frames
        found = await plainly_consumed(kafka.bootstrap, given.topics.predictions, len(due))

    streamed = {(told["pack_id"], told["cell"], told["step"]): told for told in found}
    assert len(found) == len(streamed) == len(due)
    assert {identity: told["t_ms"] for identity, told in streamed.items()} == due
    hashes = {told["model"] for told in found}
    assert len(hashes) == 1
    assert all(told["source"]["topic"] == given.topics.telemetry for told in found)

    refused = sum(recording.frames for recording in recordings) - sum(block_of(each).frames for each in recordings)
    letters = await consumed(given, given.topics.dead_letters)
    assert len(letters) == refused
    if refused:
        assert all(json.loads(letter.value)["voltage_v"] != 0 for letter in letters)

    await cyclecast(given, "backtest", *cells, "--end", UNTIL, "--model", model, "--out", tmp_path / "cells")
    await cyclecast(given, "backtest", car, "--model", model, "--out", tmp_path / "car")
    compared = 0
    for name in ("cells", "car"):
        for row in pq.read_table(tmp_path / name / "predictions.parquet").to_pylist():
            told = streamed[row["pack_id"], row["cell"], row["step"]]
            assert told["model"] == row["model"]
            assert told["t_ms"] == row["t_ms"]
            if row["soh_p50"] is None:
                assert "soh" not in told
                continue
            quantiles = [told["soh"][key] - row[f"soh_{key}"] for key in ("p05", "p50", "p95")]
            np.testing.assert_allclose(quantiles, 0, atol=1e-5)
            life = [told["rul_cycles"][key] for key in ("p05", "p50", "p95")]
            np.testing.assert_allclose(life, [row[f"rul_{key}"] for key in ("p05", "p50", "p95")], rtol=1e-5, atol=1e-5)
            compared += 1
    assert compared > 800


def test_cutting_a_recording_leaves_the_earlier_predictions_unchanged(recorded_data):
    (whole,) = read([recorded_data / "nasa_pcoe" / "B0007.parquet"])
    steps = CycleSteps(window=16)
    all_windows = fed(new_state(steps, 1), block_of(whole))
    for frames in (1, 20_000, 100_001, 250_003):
        kept = {
            name: getattr(whole, name)[:frames] for name in ("t_ms", "current_a", "voltage_v", "temp_degc", "cycle")
        }
        part = Recording(whole.pack_id, whole.kind, **kept, nominal_capacity_ah=whole.nominal_capacity_ah)
        windows = fed(new_state(steps, 1), block_of(part))
        assert frames < 100_000 or windows.step.size > 10
        for name in windows._fields:
            before = getattr(all_windows, name)[: windows.slot.size]
            np.testing.assert_array_equal(getattr(windows, name), before, err_msg=name)
