"""SOH from a window of 200 samples of voltage, current and temperature: the network in its plainest use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.accuracy.cell import Cell, Floats
from bench.accuracy.folds import by_cell
from bench.accuracy.lstm import Lstm
from bench.accuracy.nasa import duty, recordings
from bench.accuracy.protocol import Goal, Protocol
from model.dataset import WindowSet, windows_of
from model.schema import SampleSteps, Target
from replay.readers.reading import read

SAMPLES = 200
MOST_WINDOWS = 400  # of a cell, evenly over its life
NASA_S, CALCE_S = 10.0, 30.0  # between samples; 30 is as fast as CALCE recorded
CALCE = ("CS2_35", "CS2_36")


def window_cells(folder: Path) -> list[Cell]:
    """Windows of NASA's and CALCE's cells, wherever in a cycle they happen to lie."""
    nasa = [_cell(path, NASA_S, duty(path)) for path in recordings(folder)]
    return nasa + [_cell(folder / "calce_cs2" / f"{name}.parquet", CALCE_S, "calce") for name in CALCE]


def _cell(path: Path, period_s: float, group: str) -> Cell:
    gap_s = 30.0 * period_s
    steps = SampleSteps(period_s=period_s, window=SAMPLES, stride=SAMPLES // 2, max_gap_s=gap_s)
    windows = windows_of(read([path]), steps, (Target(kind="soh"),), eol_soh=0.8)
    known = np.flatnonzero(np.isfinite(windows.labels[:, 0]))
    rows = known[np.unique(np.linspace(0, len(known) - 1, MOST_WINDOWS).astype(np.int64))]
    truth = windows.labels[rows].astype(np.float64)
    first = float(windows.cells[0].soh[0])
    return Cell(
        cell_id=windows.cells[0].cell_id,
        group=group,
        steps=_steps(windows, period_s),
        at=windows.end[rows] - 1,
        cycle=windows.cycle[rows].astype(np.int64),
        truth=truth,
        anchor=np.zeros_like(truth),
        copied=np.full_like(truth, first),
        drawn=np.full_like(truth, np.nan),
        place=tuple(_place(windows, row) for row in rows),
    )


def _steps(windows: WindowSet, period_s: float) -> Floats:
    """Voltage, current, temperature and the charge moved so far, which an LSTM would be slow to learn to sum up."""
    steps = windows.steps.astype(np.float64)
    moved = np.cumsum(np.nan_to_num(steps[:, 1])) * period_s / 3600.0
    # Charge so far never ends; what it was two hundred samples ago is taken off, so that it only tells of the window.
    before = np.concatenate((np.zeros(SAMPLES), moved[:-SAMPLES]))
    slow = np.concatenate((np.full((SAMPLES, 1), np.nan), steps[:-SAMPLES, :1]))
    return np.concatenate((steps, (moved - before)[:, None], steps[:, :1] - slow), 1)


def _place(windows: WindowSet, row: int) -> str:
    """What happens in the window: its current at its beginning and at its end."""
    current = windows.steps[windows.end[row] - SAMPLES : windows.end[row], 1]
    return f"{_phase(current[:20])} to {_phase(current[-20:])}"


def _phase(current: np.ndarray) -> str:
    mean = float(np.nanmean(current))
    return "charge" if mean > 0.05 else "discharge" if mean < -0.05 else "rest"


WINDOW = Protocol(
    name="SOH from 200 samples",
    track="B",
    data="nasa_pcoe, calce_cs2",
    cells=window_cells,
    split=by_cell(4),
    learners=(Lstm(window=25, stride=8, hidden=32, updates=300, jitter=0.05),),
    goals=(
        Goal(
            "soh, NASA",
            "mae",
            "of 2 Ah",
            of=tuple(f"B00{number:02d}" for number in (5, 6, 7, 33, 34, 36, 45, 46, 47, 53, 54, 55)),
        ),
        Goal("soh, CALCE", "mae", "of 1.1 Ah", of=CALCE),
    ),
    inner=2,
)
