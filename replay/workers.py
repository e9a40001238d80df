"""A backtest over several processes: each runs the pipeline over its own packs and reports through a pipe."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from replay.backtest_run import Assigned, Outcome, run_pipeline
from stream.errors import CyclecastError, Fatal
from stream.settings import Settings


def spread(assigned: Sequence[Assigned], workers: int) -> list[list[Assigned]]:
    """Up to ``workers`` groups of about the same number of cell samples; none is empty."""
    groups: list[list[Assigned]] = [[] for _ in range(min(workers, len(assigned)))]
    loads = [0] * len(groups)
    for one in sorted(assigned, key=lambda one: -one.recording.voltage_v.size):
        lightest = loads.index(min(loads))
        groups[lightest].append(one)
        loads[lightest] += one.recording.voltage_v.size
    return groups


def run_in_processes(
    groups: Sequence[Sequence[Assigned]], settings: Settings, progress: Callable[[int], None]
) -> list[Outcome]:
    """One process a group; their outcomes, in the order of the groups. The first failure ends them all."""
    # Fresh processes: a fork would inherit the threads of torch and of the event loop half-way.
    context = multiprocessing.get_context("spawn")
    outcomes: dict[int, Outcome] = {}
    pipes: dict[Connection[Any, Any], int] = {}
    processes = []
    try:
        for index, group in enumerate(groups):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(theirs, list(group), settings), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes[ours] = index
        while pipes:
            for pipe in wait(list(pipes)):
                assert isinstance(pipe, Connection)
                told = _receive(pipe)
                if isinstance(told, int):
                    progress(told)
                else:
                    outcomes[pipes.pop(pipe)] = told
                    pipe.close()
    finally:
        for process in processes:
            if len(outcomes) < len(groups):
                process.terminate()
            process.join()
    return [outcomes[index] for index in range(len(groups))]


def _receive(pipe: Connection[Any, Any]) -> int | Outcome:
    try:
        told = pipe.recv()
    except EOFError:
        raise Fatal("a worker of the backtest died; less --workers need less memory") from None
    if isinstance(told, Exception):
        raise told
    assert isinstance(told, int | Outcome)
    return told


def _work(pipe: Connection[Any, Any], assigned: list[Assigned], settings: Settings) -> None:
    import torch  # noqa: PLC0415 - the only thing this module wants of it

    torch.set_num_threads(1)
    try:
        pipe.send(run_pipeline(assigned, settings, pipe.send))
    except CyclecastError as error:
        pipe.send(Fatal(str(error)))
    except Exception:  # noqa: BLE001 - the parent raises it
        pipe.send(Fatal(f"a worker of the backtest failed:\n{traceback.format_exc()}"))
