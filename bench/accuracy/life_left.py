"""Cycles left at every cycle, on tables of one row a cycle: from charges alone (B), and with past capacities (A)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.accuracy.capacity_ahead import CAPACITIES, capacity_steps
from bench.accuracy.cell import Cell, Floats
from bench.accuracy.folds import by_cell
from bench.accuracy.lstm import Lstm
from bench.accuracy.percycle import Life, lives
from bench.accuracy.protocol import Goal, Protocol
from bench.accuracy.trees import Trees
from bench.accuracy.trend import trend_steps

EOL_SOH = 0.8


def left_cells(folder: Path, name: str, track: str) -> list[Cell]:
    """Each cell at each of its cycles. Heads: SOH (track B alone), cycles left."""
    return [left_cell(life, track) for life in lives(folder, name)]


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
        steps = np.concatenate((steps, fade, np.log1p(crossings)), 1)
        truth, copied = left[:, None], unknown[:, None]
        drawn = crossings[:, :1]
    return Cell(
        life.cell_id, life.group, steps, np.arange(len(left)), life.cycle, truth, np.zeros_like(truth), copied, drawn
    )


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


_LSTM = Lstm(window=3, stride=50, updates=600, jitter=0.2)
HUST_B = Protocol(
    name="SOH and RUL at every cycle, HUST",
    track="B",
    data="percycle hust",
    cells=partial(left_cells, name="hust", track="B"),
    split=by_cell(5),
    learners=(_LSTM, replace(_LSTM, name="lstm of long windows", stride=150), Trees()),
    goals=(Goal("soh", "mape_pct", "%", bar=0.70), Goal("rul", "rmse", "cycles", bar=135.0, ending=True, head=1)),
    inner=6,
)
HUST_A = Protocol(
    name="RUL at every cycle, HUST",
    track="A",
    data="percycle hust",
    cells=partial(left_cells, name="hust", track="A"),
    split=by_cell(5),
    learners=(_LSTM, Trees()),
    goals=(Goal("rul", "rmse", "cycles", bar=95.0, ending=True),),
    inner=6,
)
