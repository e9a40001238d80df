"""Cycle life from the discharge Q(V) curves of the first hundred cycles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.folds import held_out
from bench.accuracy.gaussian import Gaussian
from bench.accuracy.logged import Logged
from bench.accuracy.paced import Paced
from bench.accuracy.protocol import Goal, Protocol
from bench.accuracy.ridge import Ridge

FIRST_CYCLE, EARLY_CYCLE = 2, 10
POINTS = 200  # of a curve, from 3.6 V down to 2 V
EVERY = 10
PACES = (1.5, 2.0)  # of the lives that a life teaches; a quicker one would show cycles past the hundredth


def life_cells(folder: Path) -> list[Cell]:
    """One row a cell, at its last recorded cycle. Copy-last and line know nothing of a life; the mean does."""
    found = []
    for path in sorted((folder / "severson_qv100").glob("*.cycles.parquet")):
        truth = pq.read_table(path)
        series = pq.read_table(path.with_name(path.name.replace(".cycles", "")))
        curves = series["q_ah"].to_numpy().astype(np.float64).reshape(-1, POINTS)
        capacity_ah = truth["discharge_capacity_ah"].to_numpy()
        unknown = np.full((1, 1), np.nan)
        cell = Cell(
            cell_id=path.name.split(".")[0],
            group=path.name.split("_")[1],
            steps=life_steps(curves, capacity_ah),
            at=np.array([len(curves) - 1]),
            cycle=truth["cycle"].to_numpy()[-1:].astype(np.int64),
            truth=truth["cycle_life"].to_numpy()[:1, None].astype(np.float64),
            anchor=np.zeros((1, 1)),
            copied=unknown,
            drawn=unknown,
        )
        copies = tuple(
            replace(cell, steps=life_steps(curves, capacity_ah, pace), truth=pace * cell.truth) for pace in PACES
        )
        found.append(replace(cell, copies=copies))
    return found


def life_steps(curves: Floats, capacity_ah: Floats, pace: float = 1.0) -> Floats:
    """What each cycle shows (after Severson et al. 2019), [T, 5 + 5 + 20]: how its Q(V) differs from that of cycle 10
    (shape of the difference), the capacity and its trend, and the difference itself, compressed, at every tenth
    voltage.

    curves: [T, 200], capacity_ah: [T], both from cycle 2 on. A curve is the median of three, since some are artefacts.
    pace: the same cell, had it aged over as many times the cycles, at least one; each shows what an earlier one did.
    """
    count = len(curves)
    quiet = np.stack([np.median(curves[max(0, step - 2) : step + 1], 0) for step in range(count)])
    if pace != 1.0:
        then = np.maximum((np.arange(count) + FIRST_CYCLE) / pace - FIRST_CYCLE, 0.0)
        quiet, capacity_ah = _between(quiet, then), _between(capacity_ah, then)
    early = quiet[np.minimum(np.arange(count), EARLY_CYCLE - FIRST_CYCLE)]
    change = quiet - early
    trend = np.array([_trend(capacity_ah[: step + 1]) for step in range(count)])
    compressed = np.sign(change) * np.log1p(np.abs(change) / 1e-3)
    return np.concatenate((_shape(change), trend, compressed[:, ::EVERY]), 1)


def _between(values: Floats, at: Floats) -> Floats:
    """``values`` [T, ...] at fractional steps [n], linear between neighbours: [n, ...]."""
    whole = at.astype(np.int64)
    share = (at - whole).reshape(-1, *[1] * (values.ndim - 1))
    return (1 - share) * values[whole] + share * values[np.minimum(whole + 1, len(values) - 1)]


def _shape(change: Floats) -> Floats:
    """Logarithms of variance, least value and mean; skewness and kurtosis: [T, 5]."""
    deviation = change.std(1) + 1e-9
    centred = (change - change.mean(1, keepdims=True)) / deviation[:, None]
    return np.stack(
        (
            np.log10(deviation**2),
            np.log10(np.abs(change.min(1)) + 1e-5),
            np.log10(np.abs(change.mean(1)) + 1e-5),
            (centred**3).mean(1),
            (centred**4).mean(1),
        ),
        1,
    )


def _trend(capacity_ah: Floats) -> Floats:
    """Slopes over all cycles and over the last ten, the first capacity, its rise since, the newest capacity."""
    rise = capacity_ah.max() - capacity_ah[0]
    return np.array([_slope(capacity_ah), _slope(capacity_ah[-10:]), capacity_ah[0], rise, capacity_ah[-1]])


def _slope(values: Floats) -> float:
    time = np.arange(len(values)) - (len(values) - 1) / 2
    return float(time @ values / max(float(time @ time), 1.0))


_SHAPE, _SHAPE_AND_TREND = tuple(range(5)), tuple(range(10))
SEVERSON = Protocol(
    name="cycle life from 100 cycles",
    track="A",
    data="severson train -> test1",
    cells=life_cells,
    split=held_out(lambda cell: cell.group == "test1"),
    learners=(
        Logged(Ridge("ridge shape", _SHAPE)),
        Logged(Ridge("ridge shape, trend", _SHAPE_AND_TREND)),
        Logged(Ridge("ridge all")),
        # A ridge would learn from copies how a cell moves, which is not how one cell differs from another.
        Paced(Logged(Gaussian("gp"))),
    ),
    goals=(Goal("cycle life", "rmse_of_cells", "cycles", bar=85.0),),
    inner=41,
    widths="in proportion",
)
