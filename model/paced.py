"""Copies of cells that live at other paces: what a cell shows at a health, and how soon it gets there, come apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.dataset import WindowSet
from model.schema import CycleSteps, Target
from model.truth import labels

_COUNTED = ("equivalent_full_cycles", "age")  # channels that tell how long a cell has lived
_NO_END = 0.0  # the SOH below which a copy's life ends: never


def with_copies(
    windows: WindowSet,
    cell_ids: Collection[str],
    paces: Sequence[float],
    steps: CycleSteps,
    targets: Sequence[Target],
) -> WindowSet:
    """The windows, as they are, and after them those of a copy of each named cell at each of the paces.

    A copy at pace p passes p cycles of the cell in each of its own: its step k is the cell's step round(k p), having
    lived 1/p as long; a capacity ahead is the one measured round(p horizon) cycles ahead of it. How long a copy lives
    is made up, so its RUL is unknown: lives are learned from the cells themselves. A copy's row names the cell and
    the cycle that it copies.
    """
    counted = np.array([channel.name in _COUNTED for channel in steps.channels])
    shown, step_cell = [windows.steps], [windows.step_cell]
    columns = [(windows.end, windows.length, windows.cell, windows.cycle, windows.labels)]
    stored = len(windows.steps)
    for number, cell in enumerate(windows.cells):
        if cell.cell_id not in cell_ids:
            continue
        own, rows = np.flatnonzero(windows.step_cell == number), np.flatnonzero(windows.cell == number)
        row_of = np.full(len(own), -1)
        row_of[np.searchsorted(own, windows.end[rows] - 1)] = rows
        for pace in paces:
            passed = _passed(len(own), pace)
            copied = windows.steps[own[passed]]
            copied[:, counted] /= np.float32(pace)
            at = np.flatnonzero(row_of[passed] >= 0)
            at = at[at + 1 >= steps.min_steps]
            cycle = windows.cycle[row_of[passed[at]]]
            ahead = [t.model_copy(update={"horizon_cycles": round(t.horizon_cycles * pace)}) for t in targets]
            found = labels(ahead, cycle, cell.cycle, cell.soh, _NO_END)
            length = np.minimum(at + 1, windows.window)
            columns.append((stored + at + 1, length, np.full(len(at), number, np.int32), cycle, found))
            shown.append(copied)
            step_cell.append(np.full(len(copied), number, np.int32))
            stored += len(copied)
    end, length, of_cell, cycle, label = (np.concatenate(column) for column in zip(*columns, strict=True))
    return replace(
        windows,
        steps=np.concatenate(shown),
        step_cell=np.concatenate(step_cell),
        end=end,
        length=length,
        cell=of_cell,
        cycle=cycle,
        labels=label,
    )


def _passed(steps: int, pace: float) -> NDArray[np.int64]:
    """Which of a cell's steps its copy shows, one after the other."""
    passed = np.round(np.arange(int(steps / pace) + 1) * pace).astype(np.int64)
    return passed[passed < steps]
