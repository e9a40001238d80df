from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.artifact import load
from model.checkpoint import CHECKPOINT
from tests.train_in_ranks import CONFIG, train_here

ROOT = Path(__file__).parents[2]


def test_two_processes_train_the_artifact_of_one(tmp_path: Path) -> None:
    """The same windows make each step, so the weights are those of one process but for the order of sums."""
    out = tmp_path / "two"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "tests.train_in_ranks", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    two = load(out)
    loss = two.manifest.metrics["validation_loss"]
    assert sorted(done.stdout.split("\n")) == ["", f"told 0 epochs, loss {loss}", f"told 2 epochs, loss {loss}"]
    assert two.manifest.metrics["epochs"] == CONFIG.epochs
    assert not (out / CHECKPOINT).exists()

    assert train_here(tmp_path / "one", []) == pytest.approx(loss, rel=1e-5)
    one = load(tmp_path / "one")
    for name, tensor in one.forecaster.network.state_dict().items():
        torch.testing.assert_close(two.forecaster.network.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
    for scaling, other in zip(one.manifest.target_scaling, two.manifest.target_scaling, strict=True):
        assert other.offset == pytest.approx(scaling.offset, abs=1e-4)
    assert one.manifest.data == two.manifest.data
