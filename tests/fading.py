"""Small recordings of cells that fade by a known law, for tests of the model."""

from __future__ import annotations

import numpy as np

from model.recording import Recording, Truth

NOMINAL_AH = 2.0
PERIOD_S = 60


def soh_at(cycle: np.ndarray, fade: float) -> np.ndarray:
    """The law: a straight line from 1."""
    return 1.0 - fade * cycle


def fading_cell(name: str, *, fade: float = 0.004, cycles: int = 60, seed: int = 0, cells: int = 1) -> Recording:
    """``cycles`` full cycles at 1C, a sample a minute; every cell of a pack fades a little faster than the one before.

    The terminal voltage runs straight between 3.0 and 4.2 V, so that what shrinks is the time a cycle takes.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    number, current, depth = [], [], []
    for cycle in range(cycles):
        minutes = max(round(60 * float(soh_at(np.array(cycle), fade))), 4)
        for sign in (1.0, -1.0):
            number += [cycle] * minutes
            current += [sign * NOMINAL_AH] * minutes
            part = np.linspace(0, 1, minutes)
            depth += list(part if sign > 0 else 1 - part)
    rows = len(number)
    voltage = 3.0 + 1.2 * np.array(depth)[:, None] + rng.normal(0, 0.002, (rows, cells))
    measured = np.arange(cycles, dtype=np.int32)
    capacity = [NOMINAL_AH * soh_at(measured, fade * (1 + 0.1 * cell)) for cell in range(cells)]
    return Recording(
        pack_id=name,
        kind="cell" if cells == 1 else "pack",
        t_ms=1_700_000_000_000 + np.arange(rows, dtype=np.int64) * PERIOD_S * 1000,
        current_a=np.array(current, np.float32),
        voltage_v=voltage.astype(np.float32),
        temp_degc=(25 + rng.normal(0, 0.5, (rows, 1))).astype(np.float32),
        cycle=np.array(number, np.int32),
        nominal_capacity_ah=NOMINAL_AH,
        truth=Truth(
            np.repeat(np.arange(cells, dtype=np.int32), cycles),
            np.tile(measured, cells),
            np.concatenate(capacity).astype(np.float32),
        ),
        source="made/for_tests",
    )
