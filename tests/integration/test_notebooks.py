"""The notebooks do what they say: every cell runs in order, in a fresh process, from the folder they lie in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import replay
from stream.kafka.broker import EmbeddedBroker
from stream.settings import Settings
from tests.command_line import CommandLine
from tests.service import ROOT, as_environment, settings

SAMPLES = Path(replay.__file__).parent / "samples"
NOTEBOOKS = ROOT / "notebooks"
PATIENCE_S = 600


def figures(name: str, environment: Mapping[str, str], changed: str = "") -> int:
    """Runs a notebook, warnings being errors, with what is ``changed`` after its first cell; how many figures it drew.

    It leaves its folder as it was.
    """
    before = sorted(NOTEBOOKS.iterdir())
    others = {key: value for key, value in os.environ.items() if not key.startswith("CYCLECAST_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.notebook", f"{name}.ipynb", changed],
        cwd=NOTEBOOKS,
        env={**others, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(NOTEBOOKS.iterdir()) == before
    count = re.search(r"^(\d+) figures$", done.stdout, re.MULTILINE)
    assert count
    return int(count[1])


def test_the_notebook_of_a_recording_runs_and_draws() -> None:
    assert figures("recording", {}) == 4


def test_the_notebook_of_a_training_runs_and_draws_also_for_a_shorter_one(tmp_path: Path) -> None:
    shorter = "config = config.model_copy(update={'epochs': 2, 'epoch_windows': 300})"
    assert figures("training", {"TMPDIR": str(tmp_path)}, shorter) == 4


@pytest.fixture
def predicted(
    embedded_broker: EmbeddedBroker,
    topic: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Settings whose topics hold what a stream said of the first days of two packs."""
    chosen = settings(embedded_broker.bootstrap, topic, Path("cycle"))
    for name in [name for name in os.environ if name.startswith("CYCLECAST_")]:
        monkeypatch.delenv(name)
    for name, value in as_environment(chosen).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    cyclecast = CommandLine(capsys)
    recordings = [str(SAMPLES / f"{pack}.parquet") for pack in ("LFP-2", "NMC-2")]
    assert cyclecast.invoke("replay", *recordings, "--end", "2024-01-14").code == 0
    assert cyclecast.invoke("stream", "--until-idle", "1").code == 0
    return chosen


def test_the_notebook_of_a_live_stream_runs_and_draws(predicted: Settings) -> None:
    assert figures("live", as_environment(predicted)) == 3
