"""What one core does in a second: rates by the CPU time of a process, and processes that have a core for themselves.

CPU time counts all threads of the process and nothing of other processes: on a machine that does other things as well
it tells what the clock on the wall cannot.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

ROUNDS = 7
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def core_s(run: Callable[[], object]) -> float:
    """Seconds of CPU time that this process spends on ``run``."""
    began = time.process_time()
    run()
    return time.process_time() - began


def best_rates(*runs: tuple[float, Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """For each (amount, run), how much a second of CPU time its best round did; the runs take turns, warmed once."""
    for _, run in runs:
        run()
    spent_s = [[core_s(run) for _, run in runs] for _ in range(rounds)]
    return [amount / min(own) for (amount, _), own in zip(runs, zip(*spent_s, strict=True), strict=True)]


def apart(measure: Callable[..., Result], *arguments: object) -> Result:
    """What ``measure`` returns in a fresh process: what it takes in memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def together(measure: Callable[[int, float], Result], seconds: float, workers: int) -> list[Result]:
    """What ``measure(core, seconds)`` returns in each of several processes that run at the same time."""
    cores = sorted(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        started = [pool.submit(measure, cores[worker % len(cores)], seconds) for worker in range(workers)]
        return [each.result() for each in started]


def turns_a_core_second(run: Callable[[], object], core: int, seconds: float) -> float:
    """Turns per second of CPU time on one core, in the middle of ``seconds``: then all that began together run."""
    os.sched_setaffinity(0, {core})
    ends_s = [time.perf_counter() + seconds * third / 3 for third in (1, 2, 3)]
    turns, spent_s = [0, 0, 0], [0.0, 0.0, 0.0]
    for third, end_s in enumerate(ends_s):
        while time.perf_counter() < end_s:
            spent_s[third] += core_s(run)
            turns[third] += 1
    return turns[1] / spent_s[1]


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def peak_bytes() -> int:
    """The most that this process ever held in memory."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
