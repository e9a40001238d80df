"""Capacity ahead of cells whose first discharges are recorded as curves, too, in other files under other names."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.accuracy.capacity_ahead import AHEAD_100, AHEAD_300, MIT_100, MIT_300, Ahead
from bench.accuracy.cell import Cell, Floats
from bench.accuracy.early_life import FIRST_CYCLE, life_cells
from bench.accuracy.protocol import Protocol
from bench.accuracy.same_cells import severson_names


def cells(folder: Path, ahead: Ahead) -> list[Cell]:
    """As in ``percycle/mit``, each step with what the curves have shown by then. What they would show at another pace
    is not known, nor are those of the five cells whose lives were not finished.
    """
    shown = {cell.cell_id: cell.steps for cell in life_cells(folder)}
    names = severson_names()
    nothing = np.full_like(next(iter(shown.values())), np.nan)
    return [
        replace(
            beside(cell, shown[names[cell.cell_id]] if cell.cell_id in names else nothing),
            copies=tuple(beside(copy, nothing) for copy in cell.copies),
        )
        for cell in ahead.cells(folder, "mit")
    ]


def beside(cell: Cell, shown: Floats) -> Cell:
    """Step t, cycle t + 1, beside the row of ``shown`` [k, F] of that cycle, from `FIRST_CYCLE` on; then the last."""
    row = np.arange(len(cell.steps)) + 1 - FIRST_CYCLE
    known = np.where((row >= 0)[:, None], shown[np.clip(row, 0, len(shown) - 1)], np.nan)
    return replace(cell, steps=np.c_[cell.steps, known])


def _protocol(alone: Protocol, ahead: Ahead) -> Protocol:
    return replace(
        alone,
        name=f"{alone.name} with curves",
        data="percycle mit and severson_qv100",
        cells=partial(cells, ahead=ahead),
    )


CURVES_300 = _protocol(MIT_300, AHEAD_300)
CURVES_100 = _protocol(MIT_100, AHEAD_100)
