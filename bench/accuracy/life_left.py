"""Cycles left at every cycle, on tables of one row a cycle: from charges alone (B), and with past capacities (A).

SOH beside it, from charges alone, and told the capacity at commissioning.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.accuracy.by_age import ByAge
from bench.accuracy.capacity_ahead import CAPACITIES, capacity_steps
from bench.accuracy.cell import Cell, Floats
from bench.accuracy.folds import by_cell
from bench.accuracy.lstm import Lstm
from bench.accuracy.paced import Paced
from bench.accuracy.percycle import Life, lives
from bench.accuracy.protocol import Goal, Protocol
from bench.accuracy.trees import Trees
from bench.accuracy.trend import trend_steps

EOL_SOH = 0.8
PACES = (0.8, 0.9, 1.1, 1.25)  # cells of one kind fade alike but for their pace: each life teaches at these, too
PASTS = (0.5, 0.75, 0.9)  # of a life so far
BARELY = 2e-4  # a loss of SOH that is none


def left_cells(folder: Path, name: str, track: str) -> list[Cell]:
    """Each cell at each of its cycles, with copies that age at other paces. Heads: SOH (track B alone), cycles left."""
    return [
        replace(left_cell(life, track), copies=tuple(left_cell(life.stretched(pace), track) for pace in PACES))
        for life in lives(folder, name)
    ]


def left_cell(life: Life, track: str) -> Cell:
    """A life ends with its file: these cells were cycled to 0.88 Ah, two of them stopped a little short of it."""
    left = (life.cycle[-1] - life.cycle).astype(np.float64)
    unknown = np.full_like(left, np.nan)
    steps = trend_steps(life.statistics)
    if track == "B":
        truth = np.stack((life.soh, left), 1)
        copied, drawn = np.stack((np.full_like(left, life.soh[0]), unknown), 1), np.stack((unknown, unknown), 1)
    else:
        fade = capacity_steps(life.soh, life.statistics)[:, :CAPACITIES]
        crossings = _crossings(fade)
        steps = np.concatenate((steps, fade, np.log1p(crossings), _shape(fade[:, 0])), 1)
        truth, copied = left[:, None], unknown[:, None]
        drawn = crossings[:, :1]
    return Cell(
        life.cell_id, life.group, steps, np.arange(len(left)), life.cycle, truth, np.zeros_like(truth), copied, drawn
    )


def commissioned_cells(folder: Path, name: str) -> list[Cell]:
    """SOH alone, from charges and what each cell held at first."""
    return [commissioned(cell) for cell in left_cells(folder, name, "B")]


def commissioned(cell: Cell) -> Cell:
    """A cell of track B that is told, at every step, its first capacity: one test of it, and none after. Asked is its
    SOH, but not that of the cycle it was tested in.
    """
    first = np.full((len(cell.steps), 1), cell.copied[0, 0])
    return replace(
        cell, steps=np.c_[cell.steps, first], truth=cell.truth[:, :1], anchor=cell.anchor[:, :1],
        copied=cell.copied[:, :1], drawn=cell.drawn[:, :1], examined=cell.at > 0,
        copies=tuple(map(commissioned, cell.copies)),
    )  # fmt: skip


def _crossings(fade: Floats) -> Floats:
    """Where lines cross the end of life, [T, 4]: through the last 100 capacities, the last 50, the last 25, and from
    the first capacity through today's; at most ten times the life so far.
    """
    count = np.arange(1, len(fade) + 1)
    since_start = (fade[:, 0] - fade[0, 0]) / np.maximum(count - 1, 1)
    slopes = np.stack((fade[:, 6], fade[:, 5], fade[:, 4], since_start), 1)
    falling = slopes < 0
    cycles = np.where(falling, (EOL_SOH - fade[:, :1]) / np.where(falling, slopes, -1.0), np.inf)
    found: Floats = np.clip(cycles, 0.0, 10.0 * count[:, None])
    return found


def _shape(soh: Floats) -> Floats:
    """What a fade looks like whatever its pace, [T, 9], of smoothed capacities [T]: the logarithms of what is lost, of
    what there is to lose and of their ratio; what share of the loss fell into the last half, quarter and tenth of the
    life so far, and the logarithm of the cycles until the line from there through today ends it.
    """
    count = np.arange(len(soh))
    lost = np.maximum.accumulate(soh) - soh + BARELY
    left = np.maximum(soh - EOL_SOH, BARELY)
    found = [np.log(lost), np.log(left), np.log(left / lost)]
    for past in PASTS:
        then = (past * count).astype(np.int64)
        since = soh[then] - soh
        ending = left * (count - then) / np.maximum(since, BARELY / 20)
        found += [since / lost, np.log(np.clip(ending, 1.0, 2e4))]
    return np.stack(found, 1)


_LSTM = Lstm(window=3, stride=50, updates=1000, jitter=0.2)
_LONG = replace(_LSTM, name="lstm of long windows", window=5, stride=300, updates=1500)
HUST_B = Protocol(
    name="SOH and RUL at every cycle, HUST",
    track="B",
    data="percycle hust",
    cells=partial(left_cells, name="hust", track="B"),
    split=by_cell(5),
    learners=(Paced(_LSTM), Paced(_LONG), Paced(ByAge(ending=(1,)))),
    goals=(Goal("soh", "mape_pct", "%", bar=0.70), Goal("rul", "rmse", "cycles", bar=135.0, ending=True, head=1)),
    inner=6,
    repeats=2,
)
HUST_B_ANCHORED = replace(
    HUST_B,
    name="SOH now, told the capacity at commissioning, HUST",
    track="B, anchored",
    cells=partial(commissioned_cells, name="hust"),
    learners=(Paced(_LONG),),
    goals=(Goal("soh", "mape_pct", "%"),),
    repeats=1,
)
HUST_A = Protocol(
    name="RUL at every cycle, HUST",
    track="A",
    data="percycle hust",
    cells=partial(left_cells, name="hust", track="A"),
    split=by_cell(5),
    learners=(Paced(_LSTM), Paced(Trees()), Paced(ByAge(ending=(0,)))),
    goals=(Goal("rul", "rmse", "cycles", bar=95.0, ending=True),),
    inner=6,
)
