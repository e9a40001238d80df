"""The fast kernel of cycle steps gives what the plain one gives, bit for bit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.block import FrameBlock
from model.schema import CycleSteps
from model.steps import new_state
from tests.plain_cycle_steps import new_plain_state
from tests.telemetry import T0_MS, fed

SLOTS = 9


@st.composite
def telemetry(draw: Any) -> FrameBlock:
    """Frames of any stretch of the slots, so that some cells fall behind their neighbours; late, repeated, masked, far
    apart, of changing nominal capacity and any number of probes.
    """
    count = draw(st.integers(1, 150))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    whole = rng.random(count) < draw(st.sampled_from([0.0, 0.7, 0.95]))
    first_slot = np.where(whole, 0, rng.integers(0, SLOTS, count))
    cells = np.where(whole, SLOTS, rng.integers(1, SLOTS - first_slot + 1))
    probes = rng.integers(0, 4, count)
    voltage_v = rng.uniform(1.9, 4.5, cells.sum()).astype(np.float32)
    voltage_v[rng.random(len(voltage_v)) < 0.03] = np.nan
    temp_degc = rng.uniform(-10, 50, probes.sum()).astype(np.float32)
    temp_degc[rng.random(len(temp_degc)) < 0.1] = np.nan
    numbered = draw(st.sampled_from([0.0, 0.5, 1.0]))
    cycle = np.where(rng.random(count) < numbered, np.cumsum(rng.random(count) < 0.1), -1)
    return FrameBlock(
        first_slot=first_slot.astype(np.int64),
        cells=cells.astype(np.int64),
        t_ms=T0_MS + np.cumsum(rng.choice([-5_000, 0, 1_000, 10_000, 10_000, 60_000, 300_000, 2_000_000], count)),
        current_a=rng.choice([-9.0, -2.0, -0.5, 0.0, 0.01, 0.5, 1.9, 2.0, 2.1, 9.0], count).astype(np.float32),
        cycle=cycle.astype(np.int32),
        nominal_ah=rng.choice([np.nan, 2.0, 2.0, 2.5], count).astype(np.float32),
        voltage_start=np.cumsum(cells) - cells,
        voltage_v=voltage_v,
        temp_start=np.cumsum(probes) - probes,
        probes=probes.astype(np.int64),
        temp_degc=temp_degc,
        capacity_ah=np.full(count, np.nan, np.float32),
    )


@pytest.mark.parametrize("close_on", ["cycle", "charge", "equivalent_full_cycle"])
@settings(max_examples=150, deadline=None)
@given(whole=telemetry(), cuts=st.lists(st.integers(0, 150), max_size=4), room=st.integers(1, 30))
def test_fast_kernel_gives_windows_state_and_counts_of_the_plain_one(close_on, whole, cuts, room):
    steps = CycleSteps(close_on=close_on, window=3, reference_cycles=2, max_gap_s=600.0)
    plain, fast = new_plain_state(steps, SLOTS), new_state(steps, SLOTS)
    edges = sorted({0, whole.frames, *(cut for cut in cuts if cut < whole.frames)})
    for start, stop in itertools.pairwise(edges):
        part = whole.select(slice(start, stop))
        expected, found = fed(plain, part), fed(fast, part, capacity=room)
        for name, column in expected._asdict().items():
            assert getattr(found, name).tobytes() == column.tobytes(), name
    assert fast.counts.tolist() == plain.counts.tolist()
    for name, array in plain.arrays._asdict().items():
        assert getattr(fast.arrays, name).tobytes() == array.tobytes(), name
