"""``python -m bench``: all benchmarks, one table, one JSON."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from bench import service, steps
from bench.table import save, show
from stream.logs import configure_logs

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Runs every benchmark and prints what bounds it beside what was reached."""
    torch.set_num_threads(1)
    configure_logs("error", console=True)
    logging.disable(logging.ERROR)
    rows = [row for benchmark in (steps, service) for row in benchmark.rows()]
    show(rows)
    save(rows, RESULTS)
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
