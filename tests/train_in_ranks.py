"""Run by torchrun in a test: trains the same small fleet in every process."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from model.train import train
from tests.fading import fading_cell
from tests.unit.test_train import TINY

if __name__ == "__main__":
    torch.set_num_threads(1)
    fleet = [fading_cell(f"C{index}", fade=0.004 + 0.001 * index, cycles=50) for index in range(10)]
    epochs = []
    manifest = train(fleet, TINY.model_copy(update={"epochs": 2}), Path(sys.argv[1]), epochs.append, device="cpu")
    # The loss is each process's own: equal only if their gradients were shared.
    sys.stdout.write(f"told {len(epochs)} epochs, loss {manifest.metrics['validation_loss']}\n")
