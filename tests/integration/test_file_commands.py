"""The commands that need no broker: train, inspect, backtest, export."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from model.artifact import load, save
from tests.command_line import CommandLine
from tests.conftest import ROOT
from tests.small_model import random_windows, small_artifact

SAMPLE = ROOT / "replay" / "samples" / "LFP-1.parquet"
QUICK = """
epochs = 2
epoch_windows = 256
hidden = 8
layers = 1
"""
CHARGE_WINDOW = """
[steps]
kind = "cycle"
[steps.charge_window]
low_v = 3.38
high_v = 3.45
high_rate = 0.3
low_rate = 0.06
"""


@pytest.fixture
def cyclecast(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    small = small_artifact()
    save(tmp_path / "model", small.manifest, small.forecaster.network.state_dict(), "card")
    return tmp_path / "model"


def test_train_writes_an_artifact_that_inspect_shows(cyclecast: CommandLine, tmp_path: Path) -> None:
    config = tmp_path / "quick.toml"
    config.write_text(QUICK)
    out = tmp_path / "trained"
    trained = cyclecast.invoke("train", str(SAMPLE), "--out", str(out), "--config", str(config), "--device", "cpu")
    assert trained.code == 0, trained.err
    assert [line.split()[:2] for line in trained.out.splitlines()[:2]] == [["epoch", "0"], ["epoch", "1"]]
    assert load(out).model_id in trained.out
    inspected = cyclecast.invoke("inspect", str(out), "--json")
    assert json.loads(inspected.out)["sha256"] == load(out).manifest.sha256
    assert "charge_time [h]" in cyclecast.invoke("inspect", str(out)).out


@pytest.mark.parametrize("command", ["train", "backtest"])
@pytest.mark.parametrize("place", ["file", "file/inner"])
def test_an_out_that_cannot_be_written_into_is_told_before_the_work(
    cyclecast: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, place: str
) -> None:
    def worked(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("model.train.train", worked)
    monkeypatch.setattr("cyclecast.backtesting.backtest", worked)
    (tmp_path / "file").write_text("in the way")
    ended = cyclecast.invoke(command, str(SAMPLE), "--out", str(tmp_path / place))
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended
    assert f"--out = '{tmp_path / place}'" in ended.err


def test_a_model_of_charge_windows_is_trained_and_backtested(cyclecast: CommandLine, tmp_path: Path) -> None:
    config = tmp_path / "window.toml"
    config.write_text(QUICK + CHARGE_WINDOW)
    out = tmp_path / "trained"
    trained = cyclecast.invoke("train", str(SAMPLE), "--out", str(out), "--config", str(config), "--device", "cpu")
    assert trained.code == 0, trained.err
    manifest = load(out).manifest
    assert len(manifest.channels) == 48
    voltage_mean, rate_time = manifest.channel_scaling[32], manifest.channel_scaling[32 + 8 + 5]
    assert 3.38 < voltage_mean.mean < 3.45
    assert rate_time.mean > 0
    tested = cyclecast.invoke("backtest", str(SAMPLE), "--model", str(out), "--out", str(tmp_path / "report"))
    assert tested.code == 0, tested.err
    predictions = pq.read_table(tmp_path / "report" / "predictions.parquet")
    assert predictions["soh_p50"].null_count < len(predictions)


def test_a_dry_run_says_what_would_be_trained_and_writes_nothing(cyclecast: CommandLine, tmp_path: Path) -> None:
    config = tmp_path / "quick.toml"
    config.write_text(QUICK)
    out = tmp_path / "trained"
    said = cyclecast.invoke("train", str(SAMPLE), "--out", str(out), "--config", str(config), "--dry-run")
    assert said.code == 0, said.err
    assert not out.exists()
    for part in ("weights on", "32 channels", "soh labels", "train: LFP-1/", "2 epochs of 256 windows in 4 steps"):
        assert part in said.out
    assert "nothing was written" in said.out.splitlines()[-1]


def test_train_goes_on_from_a_built_in_model(cyclecast: CommandLine, tmp_path: Path) -> None:
    config = tmp_path / "quick.toml"
    config.write_text("epochs = 1\nepoch_windows = 64\n")
    words = ["train", str(SAMPLE), "--out", str(tmp_path / "own"), "--config", str(config), "--from", "cycle"]
    assert cyclecast.invoke(*words).code == 0
    found = load(tmp_path / "own").manifest
    assert found.parent is not None
    assert found.parent.sha256 == load("cycle").manifest.sha256
    config.write_text("hidden = 8\n")
    refused = cyclecast.invoke(*words)
    assert refused.code == 2
    assert "hidden: 8 here, 64 there" in refused.err


def test_inspect_counts_what_a_recording_holds(cyclecast: CommandLine) -> None:
    facts = json.loads(cyclecast.invoke("inspect", str(SAMPLE), "--json").out)
    table = pq.read_table(SAMPLE)
    assert facts["pack_id"] == "LFP-1"
    assert facts["frames"] == table.num_rows
    assert facts["cells"] == len(table["voltage_v"][0].as_py())
    assert facts["cycles"] == len(table["cycle"].unique())
    assert facts["nan_voltage"] == 0
    truth = pq.read_table(SAMPLE.with_name("LFP-1.truth.parquet"))
    assert facts["truth"]["measured"] == truth.num_rows
    assert "LFP-1 (pack)" in cyclecast.invoke("inspect", str(SAMPLE)).out


def test_inspect_refuses_an_artifact_that_was_edited(cyclecast: CommandLine, model: Path) -> None:
    manifest = model / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"eol_soh": 0.8', '"eol_soh": 0.7'))
    ended = cyclecast.invoke("inspect", str(model))
    assert ended.code == 1
    assert "sha256" in ended.err
    assert "Traceback" not in ended.err


def test_backtest_prints_what_it_writes(cyclecast: CommandLine, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "report"
    command = ("backtest", str(SAMPLE), "--model", str(model), "--out", str(out))
    ended = cyclecast.invoke(*command, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found == json.loads((out / "metrics.json").read_text())
    assert found["predictions"] == pq.read_table(out / "predictions.parquet").num_rows > 0
    assert (out / "report.html").stat().st_size > 0
    shown = cyclecast.invoke(*command).out
    assert f"{found['predictions']:,} predictions" in shown
    assert f"{found['targets']['soh']['mae']:.4g}" in shown


def test_an_exported_file_answers_as_the_model_does(cyclecast: CommandLine, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "edge.pt2"
    ended = cyclecast.invoke("export", str(model), "--to", "pt2", "--out", str(out))
    assert ended.code == 0, ended.err
    artifact = load(model)
    assert artifact.model_id in ended.out
    windows = torch.from_numpy(random_windows(artifact.manifest, 5))
    with torch.inference_mode():
        torch.testing.assert_close(torch.export.load(out).module()(windows), artifact.forecaster(windows))
