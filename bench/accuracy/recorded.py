"""Recordings of voltage, current and temperature, through the very step kernel that runs live: one step a cycle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.accuracy.cell import Floats, Ints
from model.dataset import windows_of
from model.schema import CycleSteps
from replay.readers.reading import read

# What a charge shows by itself. Channels of the discharge, and those that mix both halves of a cycle, are left out:
# where a tester draws a cell empty, the charge drawn is the very capacity that is asked for.
CHARGE_CHANNELS = (
    "charge", "charge_voltage_mean", "charge_time", "charge_rate_mean", "cv_charge", "cv_time", "voltage_max",
    "charge_peak", "charge_peak_voltage", "charge_overlap_ratio", "charge_delta_log_variance",
    "charge_voltage_vs_reference", "cv_time_vs_reference",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
    """One cell: what each of its cycles' charges shows float64 [k, F], the cycle, and the capacity then drawn, over the
    rated one, NaN where it is not to be trusted [k].
    """

    cell_id: str
    charges: Floats
    cycle: Ints
    soh: Floats


def recorded(path: Path) -> Recorded:
    """Reads one recording and its truth, and runs it through `CycleSteps`."""
    steps = CycleSteps(window=1, min_cycles=1)
    windows = windows_of(read([path]), steps, (), eol_soh=0.8)
    (cell,) = windows.cells
    names = [channel.name for channel in steps.channels]
    charges = windows.steps[:, [names.index(name) for name in CHARGE_CHANNELS]].astype(np.float64)
    cycle = windows.cycle.astype(np.int64)
    measured = dict(zip(cell.cycle.tolist(), cell.soh.tolist(), strict=True))
    return Recorded(cell.cell_id, charges, cycle, np.array([measured.get(number, np.nan) for number in cycle.tolist()]))
