"""Run by torchrun in a test: trains the same small fleet in every process."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from model.checkpoint import Epoch
from model.train import train
from tests.fading import fading_cell
from tests.unit.test_train import TINY

# Without dropout, whose draws are each process's own.
CONFIG = TINY.model_copy(update={"epochs": 2, "dropout": 0.0, "batch": 15})


def train_here(out: Path, epochs: list[Epoch]) -> object:
    """Trains; returns the validation loss."""
    torch.set_num_threads(1)
    fleet = [fading_cell(f"C{index}", fade=0.004 + 0.001 * index, cycles=50) for index in range(10)]
    return train(fleet, CONFIG, out, epochs.append, device="cpu").metrics["validation_loss"]


if __name__ == "__main__":
    told: list[Epoch] = []
    loss = train_here(Path(sys.argv[1]), told)
    sys.stdout.write(f"told {len(told)} epochs, loss {loss}\n")
