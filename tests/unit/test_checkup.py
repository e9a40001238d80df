"""The doctor: each check says what was found, and each that is not well says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cyclecast.checkup import (
    check_artifact,
    check_broker,
    check_cache,
    check_kafka_extension,
    check_python,
    check_torch,
)
from model.artifact import WEIGHTS, save
from stream.settings import Settings
from tests.command_line import CommandLine
from tests.kafka.ports import own_ports
from tests.small_model import small_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    small = small_artifact()
    save(tmp_path / "model", small.manifest, small.forecaster.network.state_dict(), "card")
    return tmp_path / "model"


def _settings(**model: str) -> Settings:
    return Settings.model_validate({"model": {"device": "cpu", **model}})


def test_this_machine_can_run_the_tests() -> None:
    assert check_python().status == "ok"
    assert check_torch("auto").status in {"ok", "warn"}
    assert check_kafka_extension().status == "ok"


def test_a_gpu_that_is_asked_for_and_absent_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check = check_torch("cuda")
    assert check.status == "fail"
    assert check.do
    assert check_torch("cpu").status in {"ok", "warn"}


def test_no_place_for_compiled_kernels_is_a_warning_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert check_cache().status == "ok"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    check = check_cache()
    assert check.status == "warn"
    assert "NUMBA_CACHE_DIR" in check.do


def test_an_artifact_that_loads_and_answers_is_ok(artifact: Path) -> None:
    check = check_artifact(_settings(path=str(artifact), precision="fp32"))
    assert (check.status, check.do) == ("ok", "")
    assert "on cpu in fp32" in check.found


def test_a_broken_artifact_fails_with_a_remedy(artifact: Path) -> None:
    (artifact / WEIGHTS).write_bytes(b"not tensors")
    check = check_artifact(_settings(path=str(artifact)))
    assert check.status == "fail"
    assert WEIGHTS in check.found
    assert "model.path" in check.do


def test_a_precision_that_the_device_lacks_fails_with_a_remedy(artifact: Path) -> None:
    check = check_artifact(_settings(path=str(artifact), precision="fp16"))
    assert check.status == "fail"
    assert "model.precision" in check.do


async def test_no_broker_fails_and_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.kafka.probe._PATIENCE_S", 0.0)
    (check,) = await check_broker(Settings.load(overrides={"kafka.bootstrap": f"127.0.0.1:{own_ports(1)[0]}"}))
    assert check.status == "fail"
    assert "cyclecast broker" in check.do
    assert "--bootstrap" in check.do


def test_doctor_exits_with_1_when_something_fails_and_speaks_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, artifact: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr("stream.kafka.probe._PATIENCE_S", 0.0)
    command = ("doctor", "--bootstrap", f"127.0.0.1:{own_ports(1)[0]}", "--model", str(artifact))
    ended = CommandLine(capsys).invoke(*command, "--json")
    checks = {check["name"]: check for check in json.loads(ended.out)}
    assert ended.code == 1
    assert ended.err == ""
    assert checks["broker"]["status"] == "fail"
    assert checks["artifact"]["status"] == "ok"
    assert all(check["do"] for check in checks.values() if check["status"] == "fail")
    assert checks["broker"]["found"] == f"no Kafka broker answers at {command[2]}"
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("CYCLECAST_KAFKA__SECURITY__PROTOCOL", "SSL")
    monkeypatch.setenv("CYCLECAST_KAFKA__SECURITY__CA_FILE", str(tmp_path / "ca.pem"))
    secured = {check["name"]: check for check in json.loads(CommandLine(capsys).invoke(*command, "--json").out)}
    assert "ca_file" in secured["broker"]["found"]
    assert "PEM" in secured["broker"]["do"]
    shown = CommandLine(capsys).invoke(*command)
    assert shown.code == 1
    assert "what to do" in shown.out
