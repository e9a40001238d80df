"""The statistics of a charge's end on recorded cells: streamed, they are what plain numpy has of the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from model.dataset import block_of
from model.schema import ChargeWindow, CycleSteps
from model.steps import new_state
from replay.readers import read
from tests.plain_charge_window import plain_statistics
from tests.telemetry import fed

WINDOWS = {
    "nasa_pcoe/B0005": ChargeWindow(low_v=4.0, high_v=4.19, high_rate=0.25, low_rate=0.05),
    "nasa_pcoe/B0036": ChargeWindow(low_v=4.0, high_v=4.19, high_rate=0.25, low_rate=0.05),
    "calce_cs2/CS2_35": ChargeWindow(low_v=4.0, high_v=4.19, high_rate=0.4, low_rate=0.1),
}


@pytest.mark.parametrize("cell", WINDOWS)
def test_streamed_statistics_of_recorded_charges_are_those_of_plain_numpy(cell, recorded_data):
    window = WINDOWS[cell]
    (recording,) = read([recorded_data / f"{cell}.parquet"])
    steps = CycleSteps(window=1, charge_window=window)
    frames = block_of(recording)
    streamed = fed(new_state(steps, 1), frames)
    newest_ms = np.maximum.accumulate(np.concatenate([[-1], frames.t_ms[:-1]]))
    readings_v = frames.voltage_v[frames.voltage_start]
    used = np.isfinite(readings_v) & (frames.t_ms > newest_ms)
    t_ms, current_a, voltage_v, cycle = (
        column[used] for column in (frames.t_ms, frames.current_a, readings_v, frames.cycle)
    )
    turns = np.flatnonzero(np.diff(cycle)) + 1
    assert streamed.t_ms.tolist() == t_ms[turns].tolist()
    nominal_ah = float(frames.nominal_ah[0])
    expected = []
    for begin, end in zip([0, *turns[:-1]], turns, strict=True):
        part = slice(max(begin - 1, 0), end)
        expected.append(plain_statistics(window, t_ms[part], current_a[part], voltage_v[part], nominal_ah))
    found = streamed.windows[:, 0, 32:]
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    shown = np.isfinite(found).all(1)
    assert shown.mean() > 0.3
