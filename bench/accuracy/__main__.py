"""``python -m bench.accuracy``: every protocol on recorded batteries, one table, one JSON, a picture for each goal."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from bench.accuracy.catalogue import PROTOCOLS
from bench.accuracy.jobs import REPORTS, one_thread, run_report, run_seed
from bench.accuracy.plots import draw
from bench.accuracy.results import Row, rows
from bench.accuracy.table import markdown, save, show

HERE = Path(__file__).parent
WIDTH = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for; 1 where there is no data."""
    options = _options(arguments)
    folder = Path(os.environ.get("CYCLECAST_DATA", HERE.parents[2] / "shared" / "data"))
    if not folder.is_dir():
        print(
            f"no recorded batteries: {folder} is not a folder; set CYCLECAST_DATA to one that holds them",
            file=sys.stderr,
        )
        return 1
    # Before the workers' libraries read it: BLAS would take all cores for matrices of a hundred columns.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    began = time.monotonic()
    chosen = options.only or [*PROTOCOLS, *REPORTS]
    found: list[Row] = []
    with ProcessPoolExecutor(options.workers, get_context("spawn"), one_thread) as pool:
        waiting = {
            name: [pool.submit(run_seed, name, seed, folder) for seed in range(options.seeds)]
            for name in chosen
            if name in PROTOCOLS
        }
        reported = {name: pool.submit(run_report, name, options.seeds, folder) for name in chosen if name in REPORTS}
        for name, futures in waiting.items():
            runs = [future.result() for future in futures]
            protocol = PROTOCOLS[name]
            found += rows(protocol, [said for said, _ in runs], sum(cpu_s for _, cpu_s in runs))
            print(f"{name}: {found[-1].error:.4g}, {found[-1].cpu_s:.0f} s of CPU", file=sys.stderr, flush=True)
            if options.plots:
                for number, goal in enumerate(protocol.goals):
                    draw(protocol, goal, runs[0][0], options.out / f"{name}{f'-{number + 1}' if number else ''}.png")
            _write(found, {}, began, options.out)
        reports = {name: future.result() for name, future in reported.items()}
    _write(found, reports, began, options.out)
    console = Console(width=WIDTH)
    show(found, console)
    for name, told in reports.items():
        console.print(f"{name}: {told}", soft_wrap=True, highlight=False)
    console.print(f"{(time.monotonic() - began) / 60:.1f} minutes, {options.seeds} seeds")
    if options.json:
        print((options.out / "results.json").read_text(encoding="utf-8"))
    return 0


def _write(found: Sequence[Row], reports: dict[str, object], began: float, out: Path) -> None:
    """After each protocol: what is known so far survives whatever ends the run."""
    save(found, reports, time.monotonic() - began, out / "results.json")
    (out / "results.md").write_text(markdown(found), encoding="utf-8")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=[*PROTOCOLS, *REPORTS], metavar="NAME", help="these alone: %(choices)s"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--json", action="store_true", help="print results.json, too")
    parser.add_argument("--plots", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    sys.exit(main())
