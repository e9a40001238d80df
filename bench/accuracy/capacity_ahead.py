"""The capacity that a cell will have many cycles from now, from its first cycles (track A)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numba
import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.ensemble import Learner
from bench.accuracy.faded import Faded
from bench.accuracy.folds import by_cell
from bench.accuracy.gaussian import Gaussian
from bench.accuracy.horizons import Horizons
from bench.accuracy.lstm import Lstm
from bench.accuracy.near import Near
from bench.accuracy.paced import Paced
from bench.accuracy.percycle import STATISTICS, Life, lives
from bench.accuracy.protocol import Goal, Protocol
from bench.accuracy.similar import Similar
from bench.accuracy.trend import held, reference, smoothed

SPANS = (10, 25, 50, 100)  # cycles, over which slopes are taken
CAPACITIES = 3 + len(SPANS) + 2
STEPS = CAPACITIES + 3 * len(STATISTICS) + 1
EVERY = 10  # cycles between the rows to learn from
PACES = (0.75, 0.87, 1.15, 1.33)  # of the lives that a life teaches: knees at more cycles than the few there are


@dataclass(frozen=True, slots=True)
class Ahead:
    """From the first ``known`` cycles to the capacity at ``wanted``; ``first`` to ``last`` times as many teach, and so
    do copies of a cell at ``paces``.
    """

    known: int
    wanted: int
    first: float
    last: float
    paces: tuple[float, ...] = ()

    def cells(self, folder: Path, name: str) -> list[Cell]:
        """Each cell at many of its cycles, to learn the fade over as many cycles ahead; asked is but one of them."""
        return [
            replace(self.cell(life), copies=tuple(self.cell(life.stretched(pace)) for pace in self.paces))
            for life in lives(folder, name)
            if len(life.soh) > self.known
        ]

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


@numba.njit(cache=True)
def _slopes(values: Floats, span: int) -> Floats:
    """[T]: the least-squares slope over the last ``span`` cycles, fewer at the start."""
    found = np.zeros(len(values))
    for step in range(1, len(values)):
        first = max(0, step + 1 - span)
        middle, rise, run = (first + step) / 2, 0.0, 0.0
        for cycle in range(first, step + 1):
            rise += (cycle - middle) * values[cycle]
            run += (cycle - middle) ** 2
        found[step] = rise / run
    return found


def _protocol(name: str, ahead: Ahead, learners: tuple[Learner, ...], bar: float) -> Protocol:
    return Protocol(
        name=f"capacity at {ahead.wanted} from {ahead.known}, {name.upper()}",
        track="A",
        data=f"percycle {name}",
        cells=partial(ahead.cells, name=name),
        split=by_cell(5),
        learners=learners,
        goals=(Goal("capacity", "mape_pct", "%", bar=bar),),
        inner=6,
        repeats=2,
    )


# Of what is shown beside the capacities and charges of `STEPS` the network sees nothing.
_LSTM = Lstm(window=6, stride=10, updates=500, columns=tuple(range(STEPS)))
_NEAR_300 = Near(Faded(Gaussian()), 255, 360)
_SIMILAR = Similar(columns=tuple(range(CAPACITIES, STEPS - 1)))
LEARNERS_300: tuple[Learner, ...] = (Paced(Faded(_LSTM)), _NEAR_300, _SIMILAR)
LEARNERS_100: tuple[Learner, ...] = (Paced(Horizons(Faded(_LSTM), (200, 300))), Near(Faded(Gaussian()), 100, 100))
AHEAD_300 = Ahead(300, 500, first=0.3, last=2.2, paces=PACES)
AHEAD_100 = Ahead(100, 500, first=0.3, last=2.2, paces=PACES)
MIT_300 = _protocol("mit", AHEAD_300, LEARNERS_300, bar=0.30)
MIT_100 = _protocol("mit", AHEAD_100, LEARNERS_100, bar=0.65)
HUST_300 = _protocol(
    "hust",
    Ahead(300, 1000, first=0.6, last=1.4, paces=PACES),
    (Paced(replace(_LSTM, updates=1000)), _NEAR_300),
    bar=0.60,
)
