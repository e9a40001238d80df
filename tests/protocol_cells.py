"""Cells of an accuracy protocol that fade by a known law."""

from __future__ import annotations

import numpy as np

from bench.accuracy.cell import Cell


def fading(index: int, rows: int = 40) -> Cell:
    """A cell whose feature shows how fast it fades, behind noise; two groups that behave alike."""
    rng = np.random.default_rng(index)
    rate = rng.uniform(0.001, 0.005)
    cycle = np.arange(1, rows + 1)
    soh = 1.0 - rate * cycle
    steps = np.stack((soh * 3 + rng.normal(0, 0.01, rows), rng.normal(size=rows), cycle / 40), 1)
    truth = soh[:, None]
    return Cell(
        cell_id=f"c{index}",
        group="odd" if index % 2 else "even",
        steps=steps,
        at=np.arange(rows),
        cycle=cycle,
        truth=truth,
        anchor=np.zeros_like(truth),
        copied=np.ones_like(truth),
        drawn=np.full_like(truth, np.nan),
    )
