"""Sample steps, compiled, against the same rules written down sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.block import LATE_INPUT, MASKED_INPUT, FrameBlock, joined
from model.schema import SampleSteps
from model.steps import APPLIED, DUPLICATE, LATE, MASKED, new_state
from tests.telemetry import T0_MS, block, fed

STEPS = SampleSteps(period_s=10, max_gap_s=40, window=5, stride=4, nominal_capacity_ah=3.0)
SLOTS = 8
COUNTS = 4


@dataclass
class Cell:
    """All samples of a cell's open grid point, and its steps."""

    t_ms: int = -1
    nominal_ah: float = 0.0
    cycle: int = -1
    volts: list[float] = field(default_factory=list)
    amps: list[float] = field(default_factory=list)
    temps: list[float] = field(default_factory=list)
    steps: list[tuple[float, float, float]] = field(default_factory=list)
    count: int = 0
    flags: int = 0


def as_kept(volt: float, rate: float, temp: float) -> tuple[float, float, float]:
    """A step as the ring holds it: 0.1 mV, a float16, 0.01 degC."""
    kept_volt = np.float32(min(max(round(volt * 1e4), 0), 65535)) * np.float32(1e-4)
    kept_temp = np.float32(math.nan)
    if not math.isnan(temp):
        kept_temp = np.float32(min(max(round(temp * 1e2), -32767), 32767)) * np.float32(1e-2)
    return kept_volt, np.float16(np.float32(min(max(rate, -65504.0), 65504.0))), kept_temp


def mean(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values) if values else math.nan


class Reference:
    """What `SampleSteps` says, slowly."""

    def __init__(self) -> None:
        self.cells = [Cell() for _ in range(SLOTS)]
        self.counts = [0] * COUNTS
        self.windows: list[tuple[Any, ...]] = []

    def frame(self, frames: FrameBlock, at: int) -> None:
        seen: set[int] = set()
        cells, probes = int(frames.cells[at]), int(frames.probes[at])
        for number in range(cells):
            cell = self.cells[frames.first_slot[at] + number]
            t_ms, volt = int(frames.t_ms[at]), float(frames.voltage_v[frames.voltage_start[at] + number])
            if t_ms <= cell.t_ms:
                seen.add(LATE if t_ms < cell.t_ms else DUPLICATE)
                cell.flags |= LATE_INPUT if t_ms < cell.t_ms else 0
                continue
            if not math.isfinite(volt):
                self.counts[MASKED] += 1
                cell.flags |= MASKED_INPUT
                continue
            temp = float(frames.temp_degc[frames.temp_start[at] + number * probes // cells]) if probes else math.nan
            self.sample(int(frames.first_slot[at]) + number, cell, t_ms, volt, temp, frames, at)
        for each in seen:
            self.counts[each] += 1

    def sample(self, slot: int, cell: Cell, t_ms: int, volt: float, temp: float, frames: FrameBlock, at: int) -> None:
        period_ms = round(STEPS.period_s * 1000)
        points = t_ms // period_ms - cell.t_ms // period_ms
        if cell.t_ms >= 0 and points:
            gap = t_ms - cell.t_ms > STEPS.max_gap_s * 1000
            step = as_kept(mean(cell.volts), mean(cell.amps) / cell.nominal_ah, mean(cell.temps))
            for _ in range(1 if gap else points):
                cell.steps = [*cell.steps, step][-STEPS.window :]
                cell.count += 1
                if cell.count % STEPS.stride == 0:
                    told = (slot, cell.count, cell.cycle, t_ms, np.float32(cell.nominal_ah), cell.flags)
                    self.windows.append((*told, np.array(cell.steps, np.float32)))
                    cell.flags = 0
            if gap:
                cell.steps = []
            cell.volts, cell.amps, cell.temps = [], [], []
        if not cell.volts:
            nominal_ah = float(frames.nominal_ah[at])
            cell.nominal_ah = nominal_ah if nominal_ah > 0 else cell.nominal_ah or STEPS.nominal_capacity_ah
            cell.cycle = int(frames.cycle[at])
        cell.t_ms = t_ms
        cell.volts.append(volt)
        cell.amps.append(float(frames.current_a[at]))
        cell.temps += [] if math.isnan(temp) else [temp]
        self.counts[APPLIED] += 1


@st.composite
def telemetry(draw: Any) -> FrameBlock:
    """Frames of a pack and of single cells among its slots; late, repeated, with holes, with any number of probes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steady = draw(st.booleans())
    t_ms, frames = T0_MS, []
    for _ in range(draw(st.integers(1, 100))):
        t_ms += int(rng.choice([1_000, 4_000, 10_000] if steady else [-5_000, 0, 1_000, 9_000, 30_000, 60_000]))
        cells = int(rng.choice([1, SLOTS]))
        volts = rng.uniform(2.8, 4.2, (1, cells)).astype(np.float32)
        volts[rng.random((1, cells)) < (0.0 if steady else 0.1)] = np.nan
        temps = rng.uniform(-10, 50, (1, int(rng.choice([0, 1, 3, SLOTS, 11]))))
        temps[rng.random(temps.shape) < 0.2] = np.nan
        one = block(
            [t_ms],
            [rng.choice([-150.0, 2 + 2**-10, 0.0, 3e-5, 1.7, 2e6])],
            volts,
            cycle=[int(rng.integers(-1, 3))],
            temp_degc=temps,
            nominal_ah=float(rng.choice([np.nan, 2.0, 50.0])),
            first_slot=0 if cells == SLOTS else int(rng.integers(SLOTS)),
        )
        frames.append(one)
    return joined(frames)


@settings(max_examples=150, deadline=None)
@given(frames=telemetry(), cut=st.integers(0, 100), room=st.integers(2, 50))
def test_steps_are_what_the_rules_say_sample_by_sample(frames, cut, room):
    state, reference = new_state(STEPS, SLOTS), Reference()
    found: list[tuple[Any, ...]] = []
    for part in (slice(0, cut), slice(cut, None)):
        out = fed(state, frames.select(part), capacity=room)
        told = (out.slot, out.step, out.cycle, out.t_ms, out.nominal_ah, out.flags, out.length, out.windows)
        found += zip(*told, strict=True)
    for at in range(frames.frames):
        reference.frame(frames, at)
    np.testing.assert_array_equal(state.counts, reference.counts)
    assert [window[:6] for window in found] == [window[:6] for window in reference.windows]
    for (*_, length, window), (*_, steps) in zip(found, reference.windows, strict=True):
        assert length == len(steps)
        np.testing.assert_array_equal(window[STEPS.window - length :], steps)
        assert np.isnan(window[: STEPS.window - length]).all()


def test_reading_beyond_what_a_step_can_hold_becomes_its_largest_and_not_another():
    steps = SampleSteps(period_s=10, max_gap_s=10, window=1, stride=1)
    frames = block([T0_MS, T0_MS + 10_000], [-9e9, 0.0], [[9.0], [3.0]], temp_degc=[[400.0], [20.0]])
    np.testing.assert_allclose(fed(new_state(steps, 1), frames).windows[0, 0], [6.5535, -65504.0, 327.67], rtol=1e-6)


def test_step_is_off_by_half_its_resolution_at_most():
    rng = np.random.default_rng(5)
    frames = 3000
    volts, temps = rng.uniform(0.5, 6.0, frames), rng.uniform(-60, 150, frames)
    rates = rng.choice([-1.0, 1.0], frames) * 10 ** rng.uniform(-4, 3, frames)
    steps = SampleSteps(period_s=10, max_gap_s=10, window=1, stride=1)
    sent = block(T0_MS + 10_000 * np.arange(frames), rates, volts, temp_degc=temps, nominal_ah=1.0)
    windows = fed(new_state(steps, 1), sent).windows[:, 0].astype(np.float64)
    np.testing.assert_allclose(windows[:, 0], volts[:-1], rtol=0, atol=0.501e-4)
    np.testing.assert_allclose(windows[:, 1], rates[:-1], rtol=2**-11 * 1.001, atol=0)
    np.testing.assert_allclose(windows[:, 2], temps[:-1], rtol=0, atol=0.501e-2)
