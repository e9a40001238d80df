from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from model.artifact import load
from model.checkpoint import CHECKPOINT

ROOT = Path(__file__).parents[2]


def test_two_processes_train_one_artifact(tmp_path: Path) -> None:
    out = tmp_path / "out"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "tests.train_in_ranks", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    metrics = load(out).manifest.metrics
    loss = metrics["validation_loss"]
    assert sorted(done.stdout.split("\n")) == ["", f"told 0 epochs, loss {loss}", f"told 2 epochs, loss {loss}"]
    assert metrics["epochs"] == 2
    assert not (out / CHECKPOINT).exists()
