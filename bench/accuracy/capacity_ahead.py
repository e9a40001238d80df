"""The capacity that a cell will have many cycles from now, from its first cycles (track A)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.folds import by_cell
from bench.accuracy.lstm import Lstm
from bench.accuracy.percycle import Life, lives
from bench.accuracy.protocol import Goal, Protocol
from bench.accuracy.ridge import Ridge
from bench.accuracy.trend import held, reference, smoothed

SPANS = (10, 25, 50, 100)  # cycles, over which slopes are taken
CAPACITIES = 3 + len(SPANS) + 2
EVERY = 10  # cycles between the rows to learn from


@dataclass(frozen=True, slots=True)
class Ahead:
    """From the first ``known`` cycles to the capacity at ``wanted``; ``first`` to ``last`` times as many teach."""

    known: int
    wanted: int
    first: float
    last: float

    def cells(self, folder: Path, name: str) -> list[Cell]:
        """Each cell at many of its cycles, to learn the fade over as many cycles ahead; asked is but one of them."""
        return [self.cell(life) for life in lives(folder, name) if len(life.soh) > self.known]

    def cell(self, life: Life) -> Cell:
        """The anchor is the mean of the last few capacities: what is learned is the fade from there."""
        horizon = self.wanted - self.known
        starts = np.arange(self.known % EVERY, len(life.soh), EVERY)
        starts = starts[(starts >= self.known * self.first) & (starts <= self.known * self.last)]
        at, end = starts - 1, starts - 1 + horizon
        lived = end < len(life.soh)
        truth = np.where(lived, life.soh[np.minimum(end, len(life.soh) - 1)], np.nan)
        return Cell(
            cell_id=life.cell_id,
            group=life.group,
            steps=np.c_[capacity_steps(life.soh, life.statistics), np.arange(len(life.soh)) / 500.0],
            at=at,
            cycle=end + 1,
            truth=truth[:, None],
            anchor=smoothed(life.soh[:, None], 5.0)[at],
            copied=life.soh[at, None],
            drawn=np.array([_line(life.soh[:start], horizon) for start in starts])[:, None],
            examined=lived & (starts == self.known),
        )


def _line(past: Floats, horizon: int) -> float:
    """The least-squares line through all of the past, ``horizon`` steps beyond its end."""
    fitted = np.polynomial.Polynomial.fit(np.arange(len(past)), past, 1)
    return float(fitted(len(past) - 1 + horizon))


def capacity_steps(soh: Floats, statistics: Floats) -> Floats:
    """What each cycle shows of the fade so far [T, 9 + 48]: the smoothed capacity, its loss since the start and since
    the best, its slopes over several spans and their change; and the charge's statistics: how they differ from the
    cell's own beginning and how they moved over 20 and 60 cycles.
    """
    quick = smoothed(soh[:, None], 5.0)[:, 0]
    best = np.maximum.accumulate(quick)
    slopes = np.stack([_slopes(soh, span) for span in SPANS], 1)
    bends = slopes[:, [0, 1]] - slopes[:, [2, 3]]
    values = held(statistics)
    near, far, farther = smoothed(values, 5.0), smoothed(values, 20.0), smoothed(values, 60.0)
    level = np.stack((quick, quick - quick[0], quick - best), 1)
    return np.concatenate((level, slopes, bends, near - reference(values), near - far, near - farther), 1)


def _slopes(values: Floats, span: int) -> Floats:
    """[T]: the least-squares slope over the last ``span`` cycles, fewer at the start."""
    found = np.zeros(len(values))
    for step in range(1, len(values)):
        recent = values[max(0, step + 1 - span) : step + 1]
        time = np.arange(len(recent)) - (len(recent) - 1) / 2
        found[step] = time @ recent / (time @ time)
    return found


def _protocol(name: str, ahead: Ahead, bar: float) -> Protocol:
    return Protocol(
        name=f"capacity at {ahead.wanted} from {ahead.known}, {name.upper()}",
        track="A",
        data=f"percycle {name}",
        cells=partial(ahead.cells, name=name),
        split=by_cell(5),
        learners=(Ridge("ridge all"), Lstm(window=6, stride=10, updates=500)),
        goals=(Goal("capacity", "mape_pct", "%", bar=bar),),
        inner=6,
    )


MIT_300 = _protocol("mit", Ahead(300, 500, first=0.3, last=2.2), bar=0.30)
MIT_100 = _protocol("mit", Ahead(100, 500, first=0.3, last=2.2), bar=0.65)
HUST_300 = _protocol("hust", Ahead(300, 1000, first=0.6, last=1.4), bar=0.60)
