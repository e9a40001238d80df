"""SOH now from charge statistics alone (track B), on the tables of one row a cycle."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from bench.accuracy.averaged import Averaged
from bench.accuracy.cell import Cell
from bench.accuracy.folds import held_out
from bench.accuracy.gaussian import Gaussian
from bench.accuracy.lstm import Lstm
from bench.accuracy.percycle import Life, lives
from bench.accuracy.protocol import Goal, Protocol
from bench.accuracy.trend import trend_steps


def health_cells(folder: Path, name: str) -> list[Cell]:
    """Each cell at each of its cycles. A duty that is known to whoever runs the cell is given as one channel each."""
    found = lives(folder, name)
    duties = sorted({life.group for life in found})
    return [health_cell(life, duties if len(duties) > 1 else []) for life in found]


def health_cell(life: Life, duties: list[str]) -> Cell:
    """Copy-last of this track is what the cell held when commissioned: later capacities are not for it to see."""
    count = len(life.soh)
    duty = np.tile([float(life.group == each) for each in duties], (count, 1))
    truth = life.soh[:, None]
    return Cell(
        cell_id=life.cell_id,
        group=life.group,
        steps=np.concatenate((trend_steps(life.statistics), duty), 1),
        at=np.arange(count),
        cycle=life.cycle,
        truth=truth,
        anchor=np.zeros_like(truth),
        copied=np.full_like(truth, life.soh[0]),
        drawn=np.full_like(truth, np.nan),
    )


def xjtu_tested(cell: Cell) -> bool:
    """The benchmark's test: cells 4 and 8 of each batch, 14 too in 3C."""
    number = int(cell.cell_id.rsplit("-", 1)[1])
    return number in (4, 8) or (cell.group == "3C" and number == 14)


XJTU = Protocol(
    name="SOH now, XJTU",
    track="B",
    data="percycle xjtu",
    cells=partial(health_cells, name="xjtu"),
    split=held_out(xjtu_tested),
    learners=(Averaged(Lstm(window=4, hidden=48, updates=800), 2), Gaussian(most_rows=500)),
    goals=(Goal("soh", "mape_pct", "%", bar=0.60, worst_bar=0.9, by_group=True),),
    inner=6,
    repeats=2,
)
