"""A backtest: the stream's own predictions, held against the truth, and a report that stands alone."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.artifact import CARD, save
from model.recording import Recording
from replay.backtest import BacktestResult, backtest
from replay.backtest_run import Assigned
from replay.workers import run_in_processes, spread
from stream.errors import Fatal
from stream.records import Alert
from stream.settings import Settings
from tests.fading import NOMINAL_AH, fading_cell, soh_at
from tests.small_model import small_artifact


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("model") / "small"
    artifact = small_artifact()
    save(folder, artifact.manifest, artifact.forecaster.network.state_dict(), f"# {CARD}")
    return Settings.load(None, {}, {"model.path": str(folder)})


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    glitch = fading_cell("glitch", cycles=20)
    glitch.voltage_v[100, 0] = np.nan
    return [fading_cell("single", cycles=70), fading_cell("pack", cycles=60, cells=3), replace(glitch, truth=None)]


@pytest.fixture(scope="module")
def found(recordings: list[Recording], settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> BacktestResult:
    return backtest(recordings, settings, tmp_path_factory.mktemp("out"))


def test_every_closed_cycle_of_every_cell_has_one_prediction(found: BacktestResult) -> None:
    table = found.predictions
    identity = set(zip(*(table[name].to_pylist() for name in ("pack_id", "cell", "step")), strict=True))
    expected = {("single", 0, step) for step in range(1, 70)} | {("glitch", 0, step) for step in range(1, 20)}
    expected |= {("pack", cell, step) for cell in range(3) for step in range(1, 60)}
    assert identity == expected
    assert table.num_rows == len(expected)
    assert table["cell_id"].to_pylist()[0] == "single"
    assert "pack/2" in table["cell_id"].to_pylist()


def test_truth_is_the_capacity_measured_at_the_cycle_and_later(found: BacktestResult) -> None:
    rows = [row for row in found.predictions.to_pylist() if row["pack_id"] == "single"]
    for row in rows:
        law = soh_at(np.array(row["cycle"]), 0.004)
        assert row["soh_truth"] == pytest.approx(law, abs=1e-6)
        later = row["cycle"] + 50
        expected = None if later >= 70 else pytest.approx(NOMINAL_AH * soh_at(np.array(later), 0.004), abs=1e-5)
        assert row["capacity+50_truth"] == expected
    assert rows[5]["soh_last"] == pytest.approx(rows[4]["soh_truth"])
    assert rows[5]["soh_linear"] == pytest.approx(rows[5]["soh_truth"], abs=1e-5)
    assert rows[5]["soh_mean"] == pytest.approx(0.9)
    assert rows[5]["rul_truth"] == pytest.approx(51 - rows[5]["cycle"])


def test_a_backtest_called_on_a_running_event_loop_is_the_same(
    found: BacktestResult, recordings: list[Recording], settings: Settings, tmp_path: Path
) -> None:
    async def cell() -> BacktestResult:
        return backtest(recordings, settings, tmp_path)

    assert_same(found.predictions, asyncio.run(cell()).predictions)


def test_too_few_steps_carry_no_value_and_no_score(found: BacktestResult) -> None:
    first = [row for row in found.predictions.to_pylist() if row["step"] == 1]
    assert all(row["flags"] == ["insufficient_data"] and row["soh_p50"] is None for row in first)
    assert found.metrics["targets"]["soh"]["by_cell"]["single"]["n"] == 68


def test_metrics_keep_the_contract_and_follow_from_the_table(found: BacktestResult) -> None:
    metrics = found.metrics
    assert list(metrics) == ["schema", "model", "cells", "predictions", "targets", "baselines", "alerts", "packs"]
    assert (metrics["schema"], metrics["cells"], metrics["predictions"]) == (1, 5, found.predictions.num_rows)
    assert set(metrics["targets"]) == set(metrics["baselines"]) == {"soh", "capacity+50", "rul"}
    assert set(metrics["targets"]["soh"]) == {
        "n", "mae", "rmse", "mape_pct", "coverage_90", "width_90", "worst_cell", "by_cell",
    }  # fmt: skip
    assert "re_mean" in metrics["targets"]["rul"]
    assert set(metrics["baselines"]["soh"]) == {"last", "linear", "mean"}
    assert "glitch" not in metrics["targets"]["soh"]["by_cell"]
    errors: dict[str, list[float]] = {}
    for row in found.predictions.to_pylist():
        if row["soh_p50"] is not None and row["soh_truth"] is not None:
            errors.setdefault(row["cell_id"], []).append(abs(row["soh_p50"] - row["soh_truth"]))
    mean = np.mean([np.mean(cell) for cell in errors.values()])
    assert metrics["targets"]["soh"]["mae"] == pytest.approx(mean, abs=1e-6)


def test_counts_are_exact_and_the_glitch_is_a_dead_letter(found: BacktestResult, recordings: list[Recording]) -> None:
    tally = found.tally
    assert tally.records == sum(recording.frames for recording in recordings)
    assert tally.cell_samples == sum(recording.voltage_v.size for recording in recordings)
    assert tally.dead_letters == (("invalid_reading", 1),)


def test_workers_change_nothing(
    found: BacktestResult, recordings: list[Recording], settings: Settings, tmp_path: Path
) -> None:
    heard: list[int] = []
    spread_out = backtest(recordings, settings, tmp_path, workers=2, progress=heard.append)
    assert spread_out.tally == found.tally
    assert [(each.pack_id, each.cell, each.kind, each.step) for each in spread_out.alerts] == [
        (each.pack_id, each.cell, each.kind, each.step) for each in found.alerts
    ]
    assert sum(heard) == found.tally.records
    assert_same(found.predictions, spread_out.predictions)


def assert_same(ours: pa.Table, theirs: pa.Table) -> None:
    """The same rows; quantiles but for the last digits, which hang on what else was in a batch."""
    assert ours.column_names == theirs.column_names
    for name in ours.column_names:
        one, two = ours[name].to_pylist(), theirs[name].to_pylist()
        if name.endswith(("p05", "p50", "p95")):
            assert np.allclose(np.array(one, float), np.array(two, float), rtol=1e-5, atol=2e-6, equal_nan=True), name
        else:
            assert one == two, name


def test_a_worker_that_fails_fails_the_backtest(
    recordings: list[Recording], settings: Settings, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    model = Path(settings.model.path)
    for file in model.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(Fatal, match=r"model\.safetensors"):
        run_in_processes([[Assigned(0, recordings[0])]], Settings.load(None, {}, {"model.path": str(broken)}), print)


def test_groups_hold_everything_once_and_none_is_empty(recordings: list[Recording]) -> None:
    assigned = [Assigned(index, recording) for index, recording in enumerate(recordings)]
    for workers in (1, 2, 5):
        groups = spread(assigned, workers)
        assert len(groups) == min(workers, 3)
        assert sorted(one.partition for group in groups for one in group) == [0, 1, 2]


def test_the_folder_holds_what_was_returned_and_a_report_that_stands_alone(
    recordings: list[Recording], settings: Settings, tmp_path: Path
) -> None:
    command = ["cyclecast", "backtest", "my recordings", "--model", "<best>"]
    result = backtest(recordings[:2], settings, tmp_path / "deep" / "out", command=command)
    out = tmp_path / "deep" / "out"
    written: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    assert written == result.metrics
    assert pq.read_table(out / "predictions.parquet").equals(result.predictions)
    assert msgspec.json.Decoder(Alert).decode_lines((out / "alerts.jsonl").read_bytes()) == list(result.alerts)
    report = (out / "report.html").read_text()
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", report)
    assert all(address.startswith("#") for address in addresses)
    assert "url(http" not in report
    assert "cyclecast backtest &#x27;my recordings&#x27; --model &#x27;&lt;best&gt;&#x27;" in report
    assert report.count("<svg") == 3 * 4
    assert result.metrics["model"] in report
    assert not re.search(r"#0[0-9]0[0-9]0[0-9]", report.lower()), "a stand-in colour was not replaced"


def test_recordings_without_truth_get_a_report_too(
    recordings: list[Recording], settings: Settings, tmp_path: Path
) -> None:
    result = backtest(recordings[2:], settings, tmp_path)
    assert result.metrics["targets"] == {}
    assert "no truth to hold the predictions against" in (tmp_path / "report.html").read_text()
