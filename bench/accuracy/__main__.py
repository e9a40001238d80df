"""``python -m bench.accuracy``: every protocol on recorded batteries, one table, one JSON, a picture for each goal."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from bench.accuracy.catalogue import PROTOCOLS
from bench.accuracy.data import folder_of_recordings
from bench.accuracy.jobs import REPORTS, one_thread, run_report, run_seed
from bench.accuracy.plots import draw
from bench.accuracy.protocol import Said
from bench.accuracy.results import Row, rows
from bench.accuracy.table import markdown, save, show, show_report

HERE = Path(__file__).parent
WIDTH = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for; 1 where there is no data."""
    options = _options(arguments)
    folder = folder_of_recordings()
    if folder is None:
        return 1
    # Before the workers' libraries read it: BLAS would take all cores for matrices of a hundred columns.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    began = time.monotonic()
    chosen = options.only or [*PROTOCOLS, *REPORTS]
    runs: dict[str, list[tuple[list[Said], float]]] = {}
    with ProcessPoolExecutor(options.workers, get_context("spawn"), one_thread) as pool:
        reported = {name: pool.submit(run_report, name, options.seeds, folder) for name in chosen if name in REPORTS}
        # Seed after seed rather than protocol after protocol: a run that is cut short has something of each.
        waiting = {
            pool.submit(run_seed, name, seed, folder): name
            for seed in range(options.seeds)
            for name in chosen
            if name in PROTOCOLS
        }
        for future in as_completed(waiting):
            name = waiting[future]
            runs.setdefault(name, []).append(future.result())
            found = _rows(chosen, runs)
            seconds = time.monotonic() - began
            print(f"{seconds:5.0f} s  {name}: {runs[name][-1][1]:.0f} s of CPU", file=sys.stderr, flush=True)
            done = {report: each.result() for report, each in reported.items() if each.done()}
            _write(found, done, seconds, options.out)
            if options.plots and len(runs[name]) == 1:
                _draw(name, runs[name][0][0], options.out)
        reports = {name: future.result() for name, future in reported.items()}
    found, seconds = _rows(chosen, runs), time.monotonic() - began
    _write(found, reports, seconds, options.out)
    console = Console(width=WIDTH)
    show(found, console)
    for name, told in reports.items():
        show_report(name, told, console)
    console.print(f"{seconds / 60:.1f} minutes, {options.seeds} seeds")
    if options.json:
        print((options.out / "results.json").read_text(encoding="utf-8"))
    return 0


def _rows(chosen: Sequence[str], runs: dict[str, list[tuple[list[Said], float]]]) -> list[Row]:
    """In the order of the catalogue, whichever came first."""
    found: list[Row] = []
    for name in chosen:
        if name in runs:
            said, cpu_s = zip(*runs[name], strict=True)
            found += rows(PROTOCOLS[name], said, sum(cpu_s))
    return found


def _draw(name: str, said: Sequence[Said], out: Path) -> None:
    for number, goal in enumerate(PROTOCOLS[name].goals):
        draw(PROTOCOLS[name], goal, said, out / f"{name}{f'-{number + 1}' if number else ''}.png")


def _write(found: Sequence[Row], reports: dict[str, object], seconds: float, out: Path) -> None:
    """After each run: what is known so far survives whatever ends the rest."""
    save(found, reports, seconds, out / "results.json")
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
