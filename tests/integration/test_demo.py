"""The demo, as a newcomer starts it; the model is an untrained one, so only its errors are meaningless."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from model.artifact import save
from stream.kafka.broker import EmbeddedBroker
from tests.service import ROOT
from tests.small_model import small_artifact


def test_demo_predicts_the_sample_fleet_and_sums_up(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    small = small_artifact()
    save(tmp_path / "model", small.manifest, small.forecaster.network.state_dict(), "card")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CYCLECAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "cyclecast", "demo", "--duration", "14", "--port", "0"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment | {"CYCLECAST_MODEL__PATH": str(tmp_path / "model")},
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"live board at http://127\.0\.0\.1:\d+", done.stdout)
    said = re.search(r"^predictions +([\d,]+) of (\d+) cells", done.stdout, re.MULTILINE)
    assert said is not None, done.stdout
    assert int(said[1].replace(",", "")) > 0
    assert re.search(r"^alerts raised +(none|\d+ \w+)", done.stdout, re.MULTILINE)
    for part in ("dead letters            0", "copy last", "mean of training", "weakest cells"):
        assert part in done.stdout
