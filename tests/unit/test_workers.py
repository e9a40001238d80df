"""Several processes of one service end together, as they were asked to."""

from __future__ import annotations

import signal
import subprocess

import pytest

from cyclecast.workers import Workers
from stream.settings import Settings

STARTING = ["sleep", "600"]  # as a worker that still loads its libraries: a signal simply ends it
FAILING = ["false"]


def ended(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]], asked: signal.Signals | None) -> int:
    """The exit code of workers that run these commands, of which the last is started as the signal comes."""
    start = subprocess.Popen
    left = list(commands)

    def started(*_: object, **__: object) -> subprocess.Popen[bytes]:
        process = start(command := left.pop(0))
        if command is FAILING:
            process.wait()
        if not left and asked is not None:
            signal.raise_signal(asked)
        return process

    monkeypatch.setattr("cyclecast.workers.subprocess.Popen", started)
    return Workers(Settings(), len(commands), []).run()


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_workers_that_were_asked_to_end_while_they_started_have_not_failed(
    monkeypatch: pytest.MonkeyPatch, asked: signal.Signals
) -> None:
    assert ended(monkeypatch, [STARTING, STARTING], asked) == 0


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, None])
def test_a_worker_that_failed_has_failed_whoever_asked_it_to_end(
    monkeypatch: pytest.MonkeyPatch, asked: signal.Signals | None
) -> None:
    assert ended(monkeypatch, [FAILING, STARTING], asked) == 1
