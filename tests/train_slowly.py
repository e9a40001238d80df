"""Run in a test that kills it: trains a small fleet, a moment for each step, so that there is time to."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from model.train import Pace, train
from tests.unit.test_train import FLEET, TINY


def _say(pace: Pace) -> None:
    sys.stdout.write(f"{pace.epoch} {pace.windows}\n")
    sys.stdout.flush()
    time.sleep(0.02)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(FLEET, TINY, Path(sys.argv[1]), pace=_say, device="cpu")
