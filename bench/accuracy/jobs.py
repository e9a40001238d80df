"""What a worker process does: one run of one protocol, or one report."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from bench.accuracy import leaf, transfer
from bench.accuracy.catalogue import PROTOCOLS
from bench.accuracy.protocol import Said, run

REPORTS = {"transfer": transfer.report, "leaf": leaf.report}


def one_thread() -> None:
    """A worker is a core's worth."""
    torch.set_num_threads(1)


def run_seed(name: str, seed: int, folder: Path) -> tuple[list[Said], float]:
    """What was said of every examined cell, and the CPU seconds it took."""
    began = time.process_time()
    protocol = PROTOCOLS[name]
    said = run(protocol, protocol.cells(folder), seed)
    return said, time.process_time() - began


def run_report(name: str, seeds: int, folder: Path) -> object:
    """Figures without a bar, as JSON would hold them."""
    return REPORTS[name](folder, seeds)
