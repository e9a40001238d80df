"""NASA's cells: SOH now from what a charge shows (B), and cycles left after seventeen known capacities (A)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.accuracy.cell import Cell
from bench.accuracy.fade import Fade
from bench.accuracy.folds import leave_one_out
from bench.accuracy.gaussian import Gaussian
from bench.accuracy.lstm import Lstm
from bench.accuracy.protocol import Goal, Protocol
from bench.accuracy.recorded import recorded
from bench.accuracy.trend import held, reference, smoothed

RATED_AH = 2.0
BENCHMARK = ("B0005", "B0006", "B0007")


def recordings(folder: Path) -> list[Path]:
    """The series, without their truths."""
    return [
        path for path in sorted((folder / "nasa_pcoe").glob("*.parquet")) if not path.name.endswith(".cycles.parquet")
    ]


def health_cells(folder: Path) -> list[Cell]:
    """Each cell at each cycle whose capacity can be trusted, asked after the charge and before the discharge."""
    found = []
    duties = sorted({duty(path) for path in recordings(folder)})
    for path in recordings(folder):
        cell = recorded(path)
        values = held(cell.charges)
        quick = smoothed(values, 3.0)
        count = np.arange(1, len(values) + 1)[:, None]
        known_duty = np.tile([float(duty(path) == each) for each in duties], (len(values), 1))
        trend = (values, quick, quick - reference(values, 5), np.log(count), count / 100.0)
        steps = np.concatenate((*trend, known_duty), 1)
        truth = cell.soh[:, None]
        first = cell.soh[np.isfinite(cell.soh)][0]
        found.append(
            Cell(
                cell_id=cell.cell_id,
                group=duty(path),
                steps=steps,
                at=np.arange(len(values)),
                cycle=cell.cycle,
                truth=truth,
                anchor=quick[:, :1],
                copied=np.full_like(truth, first),
                drawn=np.full_like(truth, np.nan),
            )
        )
    return found


def duty(path: Path) -> str:
    """The load and temperature, as the truth file names them."""
    return str(pq.read_table(path.with_name(path.stem + ".cycles.parquet"), columns=["protocol"])["protocol"][0])


# Charge, its mean voltage and rate, constant voltage (single and smoothed), the trend of three of them, and the duty.
_FEW = (0, 1, 3, 4, 5, 13, 14, 16, 17, 18, 41, 42, 43, 44)
HEALTH = Protocol(
    name="SOH now, NASA",
    track="B",
    data="nasa_pcoe",
    cells=health_cells,
    split=leave_one_out,
    learners=(Lstm(window=4, hidden=16, updates=250, jitter=0.1), Gaussian("gp all"), Gaussian("gp charge", _FEW)),
    goals=(
        Goal("soh, 5 6 7", "mae", "of 2 Ah", bar=0.015, of=BENCHMARK),
        Goal("soh, all", "mae", "of 2 Ah"),
    ),
    inner=11,
)

KNOWN, EOL_AH = 17, 1.4


def left_cells(folder: Path) -> list[Cell]:
    """The cells of the benchmark's duty. Asked once each, after seventeen capacities; one that never reaches the end of
    life counts as if it had with its last cycle, as the published benchmark does; B0036, which is not of it, only
    teaches.
    """
    found = []
    for path in recordings(folder):
        if duty(path) != "2A@24C":
            continue
        table = pq.read_table(path.with_name(path.stem + ".cycles.parquet"))
        valid = np.asarray(table["valid"].to_pylist(), bool)
        capacity = table["discharge_capacity_ah"].to_numpy()[valid].astype(np.float64)
        below = capacity < EOL_AH
        end = int(np.argmax(below)) + 1 if below.any() else len(capacity)
        line = np.polynomial.Polynomial.fit(np.arange(1, KNOWN + 1), capacity[:KNOWN], 1).convert().coef
        crossing = (EOL_AH - line[0]) / line[1] - KNOWN if line[1] < 0 else 10.0 * KNOWN
        one = np.ones((1, 1))
        found.append(
            Cell(
                cell_id=path.stem,
                group="2A@24C",
                steps=capacity[:, None],
                at=np.array([KNOWN - 1]),
                cycle=np.array([KNOWN]),
                truth=one * (end - KNOWN),
                anchor=0 * one,
                copied=np.nan * one,
                drawn=one * crossing,
                examined=np.array([path.stem in BENCHMARK]),
            )
        )
    return found


LEFT = Protocol(
    name="RUL from 17 cycles, NASA",
    track="A",
    data="nasa_pcoe",
    cells=left_cells,
    split=leave_one_out,
    learners=(Fade(KNOWN, EOL_AH),),
    goals=(Goal("rul", "re", "cycles", bar=0.17, ending=True),),
    inner=12,
    widths="even",
)
