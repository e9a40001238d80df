from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import torch

from model.artifact import MANIFEST
from model.checkpoint import CHECKPOINT, Epoch
from model.train import train
from tests.unit.test_train import FLEET, TINY

ROOT = Path(__file__).parents[2]


def test_a_killed_process_resumes_to_the_artifact_of_an_uninterrupted_run(tmp_path: Path) -> None:
    """SIGKILL in the middle of the third epoch: nothing of the process lives on but the checkpoint of the second."""
    torch.set_num_threads(1)
    whole = train(FLEET, TINY, tmp_path / "whole", device="cpu")
    out = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.train_slowly", str(out)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            epoch, windows = map(int, line.split())
            if epoch == 2 and windows > 3 * TINY.batch:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert (out / CHECKPOINT).exists()
    assert not (out / MANIFEST).exists()
    epochs: list[Epoch] = []
    resumed = train(FLEET, TINY, out, epochs.append, device="cpu", resume=True)
    assert [epoch.epoch for epoch in epochs] == [2, 3]
    assert resumed == whole
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
