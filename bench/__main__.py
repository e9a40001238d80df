"""``python -m bench``: all benchmarks, one table, one JSON; with names, only those, and nothing is written."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from bench import batching, codec, delivery, device, memory, model, scaling, sending, service, startup, state, steps
from bench.table import Line, regressions, save, show
from stream.logs import configure_logs

RESULTS = Path(__file__).parent / "results.json"
TOLERANCE = 0.35  # two runs on a machine that does other things as well differ by a fifth or so

BENCHMARKS: dict[str, Callable[[], Iterable[Line]]] = {
    "steps": steps.rows,
    "codec": codec.rows,
    "service": service.rows,
    "sending": sending.rows,
    "delivery": delivery.rows,
    "model": model.rows,
    "batching": batching.rows,
    "device": device.rows,
    "memory": memory.rows,
    "state": state.rows,
    "scaling": scaling.rows,
    "startup": startup.rows,
}


def main() -> None:
    """Runs benchmarks and prints what bounds each beside what was reached."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if none is named")
    parser.add_argument("--check", action="store_true", help="compare with results.json, exit 1 where a ratio fell")
    asked = parser.parse_args()
    names = asked.names or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")

    torch.set_num_threads(1)
    configure_logs("error", console=True)
    logging.disable(logging.ERROR)
    sections: dict[str, list[Line]] = {}
    for name in names:
        print(f"{name} ...", file=sys.stderr)
        sections[name] = list(BENCHMARKS[name]())
    show(sections)
    if asked.check:
        worse = regressions(sections, RESULTS, TOLERANCE)
        print("\n".join(worse) or f"no ratio is worse than in {RESULTS} by more than {TOLERANCE:.0%}")
        sys.exit(bool(worse))
    if not asked.names:
        save(sections, RESULTS)
        print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
