"""The front door: help that teaches, one line for a wrong usage, exit codes, no heavy import too early."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cyclecast import __version__, cli
from tests.command_line import CommandLine

COMMANDS = (
    "demo",
    "board",
    "broker",
    "train",
    "stream",
    "replay",
    "backtest",
    "predictions",
    "packs",
    "alerts",
    "export",
    "inspect",
    "doctor",
    "dlq",
    "dlq list",
    "dlq show",
    "dlq redrive",
)
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def cyclecast(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    for name in [name for name in os.environ if name.startswith("CYCLECAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    return CommandLine(capsys)


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_the_commands_are_those_of_the_contract() -> None:
    command: Any = typer.main.get_command(cli.app)
    assert set(command.commands) == {name for name in COMMANDS if " " not in name}
    assert set(command.commands["dlq"].commands) == {"list", "show", "redrive"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples_settings_and_exit_codes(cyclecast: CommandLine, command: str) -> None:
    ended = cyclecast.invoke(*command.split(), "--help")
    plain = re.sub(r"\s+", " ", ended.out)
    assert ended.code == 0
    assert "Examples" in plain
    assert f"cyclecast {command}" in plain.split("Examples")[1]
    assert "130 interrupted" in plain
    assert "CYCLECAST_KAFKA__BOOTSTRAP" in plain


def test_no_arguments_show_the_help(cyclecast: CommandLine) -> None:
    assert cyclecast.invoke() == cyclecast.invoke("--help")


def test_version_is_that_of_the_package(cyclecast: CommandLine) -> None:
    assert cyclecast.invoke("--version").out == f"cyclecast {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nonsense", "nonsense"),
        ("--nonsense", "--nonsense"),
        ("demo --duration soon", "--duration"),
        ("demo extra", "extra"),
        ("broker --port 99999", "--port"),
        ("train", "PATH"),
        ("train {samples}", "--out"),
        ("train /nowhere --out x", "/nowhere"),
        ("train {samples} --out x --config {wrong}", "nonsense"),
        ("train {samples} --out x --device gpu", "--device = 'gpu'"),
        ("train {samples} --out x --device cuda:99", "--device = 'cuda:99'"),
        ("stream --workers 0", "--workers"),
        ("stream --bootstrap nowhere", "kafka.bootstrap = 'nowhere'"),
        ("stream --config {wrong}", "nonsense is not a setting"),
        ("stream --config /nowhere.toml", "/nowhere.toml"),
        ("stream --model /nowhere", "model.path = '/nowhere'"),
        ("replay {samples} --speed fast", "speed = 'fast'"),
        ("replay {samples} --packs 0", "--packs"),
        ("replay {samples} --start yesterday", "--start = 'yesterday'"),
        ("replay {samples} --format pdf", "--format = 'pdf'"),
        ("replay {samples} --map {wrong}", "{wrong}"),
        ("replay /nowhere", "/nowhere"),
        ("backtest {samples} --model /nowhere --out x", "model.path = '/nowhere'"),
        ("backtest {samples}", "--out"),
        ("predictions --from middle", "--from"),
        ("alerts --from middle", "--from"),
        ("alerts --standing --until-idle 2", "--until-idle"),
        ("export cycle --to tflite --out x", "--to"),
        ("export /nowhere --to onnx --out x", "DIR = '/nowhere'"),
        ("export cycle --to onnx --out {folder}", "--out"),
        ("export cycle --to torchscript --out {samples}/x", "--out = '{samples}/x'"),
        ("inspect /nowhere", "PATH = '/nowhere'"),
        ("inspect topic:", "PATH = 'topic:'"),
        ("board --port {taken}", "--port = {taken}: cannot listen"),
        ("doctor --bootstrap nowhere", "kafka.bootstrap"),
        ("dlq", "command"),
        ("dlq show 12", "PARTITION:OFFSET = '12'"),
        ("dlq show 0:9223372036854775808", "PARTITION:OFFSET = '0:9223372036854775808'"),
        ("dlq redrive 1:x", "PARTITION:OFFSET = '1:x'"),
        ("dlq redrive 1:2 --reason not_json", "--reason"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    cyclecast: CommandLine, tmp_path: Path, taken: int, arguments: str, said: str
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("nonsense = 1\n")
    sample = tmp_path / "sample.csv"
    sample.write_text("t_ms,current_a\n1,2\n")
    places = {"samples": str(sample), "wrong": str(wrong), "folder": str(tmp_path), "taken": taken}
    ended = cyclecast.invoke(*(word.format(**places) for word in arguments.split()))
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    assert said.format(**places) in ended.err
    assert "Traceback" not in ended.err


def test_a_wrong_environment_is_one_line_and_exit_code_2(
    cyclecast: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLECAST_KAFKA_BOOTSTRAP", "a:1")
    ended = cyclecast.invoke("predictions")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "did you mean CYCLECAST_KAFKA__BOOTSTRAP?" in ended.err


@pytest.mark.parametrize("command", ["inspect", "train --out {out}", "backtest --out {out}", "replay"])
def test_a_file_that_is_no_recording_is_one_line_and_exit_code_1(
    cyclecast: CommandLine, tmp_path: Path, command: str
) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but not for long")
    ended = cyclecast.invoke(*command.format(out=tmp_path / "out").split(), str(broken))
    assert ended.code == 1
    assert ended.err.count("\n") == 1, ended.err
    assert str(broken) in ended.err
    assert "Traceback" not in ended.err


def test_an_error_cannot_steer_the_terminal(cyclecast: CommandLine, tmp_path: Path) -> None:
    strange = tmp_path / "strange.csv"
    strange.write_bytes(b"one\nand,\x1b[31mtwo\n")
    ended = cyclecast.invoke("inspect", str(strange))
    assert ended.code == 1
    assert "\\x1b[31mtwo" in ended.err
    assert "\x1b" not in ended.err


def test_an_interrupt_is_exit_code_130(cyclecast: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cyclecast.commands.inspect.tool_settings", interrupted)
    assert cyclecast.invoke("inspect", "topic:x").code == 130


def test_what_nobody_foresaw_keeps_its_traceback(cyclecast: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("cyclecast.commands.inspect.tool_settings", broken)
    with pytest.raises(ZeroDivisionError):
        cyclecast.invoke("inspect", "topic:x")


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "numba", "matplotlib", "pyarrow", "aiokafka", "starlette", "structlog")
    code = (
        "import sys\nfrom cyclecast.cli import run\n"
        "assert run(['--help']) == run(['stream', '--help']) == 0\n"
        f"sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    assert done.returncode == 0
