from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.dataset import windows_of
from model.recording import Recording
from model.schema import ChargeWindow, CycleSteps, SampleSteps, Target
from tests.fading import fading_cell

TARGETS = (Target(kind="soh"),)
WHOLE = fading_cell("A", cells=2, cycles=14)


def cut(recording: Recording, rows: int) -> Recording:
    """The first ``rows`` rows; what was measured later stays known, for labels are not what is under test."""
    return replace(
        recording,
        t_ms=recording.t_ms[:rows],
        current_a=recording.current_a[:rows],
        voltage_v=recording.voltage_v[:rows],
        temp_degc=recording.temp_degc[:rows],
        cycle=recording.cycle[:rows],
    )


@pytest.mark.parametrize(
    "steps",
    [
        CycleSteps(window=6),
        CycleSteps(close_on="charge", window=6),
        CycleSteps(close_on="equivalent_full_cycle", window=6),
        CycleSteps(window=6, charge_window=ChargeWindow(low_v=3.5, high_v=4.0, high_rate=0.5, low_rate=0.1)),
        SampleSteps(period_s=180, window=10, stride=4),
    ],
    ids=["cycle", "charge", "equivalent_full_cycle", "charge window", "sample"],
)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(rows=st.integers(0, WHOLE.frames))
def test_prefix_of_recording_gives_prefix_of_windows(steps: CycleSteps | SampleSteps, rows: int) -> None:
    whole, part = windows_of([WHOLE], steps, TARGETS, 0.8), windows_of([cut(WHOLE, rows)], steps, TARGETS, 0.8)
    for cell_id in whole.cell_ids:
        all_rows, first_rows = whole.of_cells([cell_id]), part.of_cells([cell_id])
        assert len(first_rows) <= len(all_rows)
        expected = whole.windows(all_rows[: len(first_rows)])
        assert np.array_equal(part.windows(first_rows), expected, equal_nan=True)
    if rows == WHOLE.frames:
        assert len(part) == len(whole) > 10
