"""Laws of steps that hold for both kinds and any input."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.block import FrameBlock
from model.schema import ChargeWindow, CycleSteps, SampleSteps
from model.steps import new_state
from model.windows import WindowBatch
from tests.telemetry import T0_MS, block, fed

KINDS = [
    SampleSteps(period_s=10, max_gap_s=40, window=6, stride=4),
    CycleSteps(window=5),
    CycleSteps(window=5, close_on="charge"),
    CycleSteps(window=5, close_on="equivalent_full_cycle"),
    CycleSteps(window=5, charge_window=ChargeWindow(low_v=3.2, high_v=4.0, high_rate=30.0, low_rate=0.5)),
]
each_kind = pytest.mark.parametrize(
    "steps", KINDS, ids=["sample", "cycle", "charge", "equivalent_full_cycle", "window"]
)


@st.composite
def frames(draw: Any, cells: int = 2) -> FrameBlock:
    """Frames of one pack with everything that happens: gaps, late and repeated frames, invalid readings, no numbers."""
    count = draw(st.integers(2, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    t_ms = T0_MS + np.cumsum(rng.choice([-5_000, 0, 1_000, 9_000, 30_000, 60_000, 2_000_000], count))
    voltage_v = rng.uniform(2.8, 4.2, (count, cells))
    voltage_v[rng.random((count, cells)) < 0.05] = np.nan
    temp_degc = rng.uniform(-10, 50, (count, 1))
    temp_degc[rng.random((count, 1)) < 0.1] = np.nan
    cycle = np.cumsum(rng.random(count) < 0.2) if draw(st.booleans()) else np.full(count, -1)
    current_a = rng.choice([-40.0, -2.0, 0.0, 2.0, 40.0], count)
    return block(t_ms, current_a, voltage_v, cycle=cycle, temp_degc=temp_degc)


def same(left: WindowBatch, right: WindowBatch) -> None:
    for name in left._fields:
        if name != "frame":  # an index into its own block
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def joined(pieces: list[WindowBatch]) -> WindowBatch:
    return WindowBatch(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))


def part(whole: FrameBlock, start: int, stop: int) -> FrameBlock:
    return whole.select(np.isin(np.arange(whole.frames), np.arange(start, stop)))


@each_kind
@settings(max_examples=60, deadline=None)
@given(whole=frames(), cuts=st.lists(st.integers(0, 120), max_size=6))
def test_cutting_the_input_anywhere_gives_the_same_windows(steps, whole, cuts):
    state = new_state(steps, 2)
    edges = sorted({0, whole.frames, *(cut for cut in cuts if cut < whole.frames)})
    pieces = [fed(state, part(whole, start, stop)) for start, stop in itertools.pairwise(edges)]
    same(joined(pieces), fed(new_state(steps, 2), whole))


@each_kind
@settings(max_examples=60, deadline=None)
@given(whole=frames(), room=st.integers(2, 5))
def test_running_out_of_room_changes_no_window_and_no_count(steps, whole, room):
    narrow, wide = new_state(steps, 2), new_state(steps, 2)
    same(fed(narrow, whole, capacity=room), fed(wide, whole))
    np.testing.assert_array_equal(narrow.counts, wide.counts)


@each_kind
@settings(max_examples=60, deadline=None)
@given(whole=frames(), keep=st.integers(0, 120))
def test_later_input_never_changes_earlier_windows(steps, whole, keep):
    early = fed(new_state(steps, 2), part(whole, 0, keep))
    late = fed(new_state(steps, 2), whole)
    same(early, WindowBatch(*(column[: early.slot.size] for column in late)))


@each_kind
@settings(max_examples=40, deadline=None)
@given(first=frames(), second=frames(), order=st.randoms(use_true_random=False))
def test_packs_do_not_touch_each_other_however_they_interleave(steps, first, second, order):
    alone = fed(new_state(steps, 2), second)
    state = new_state(steps, 4)
    second = second._replace(first_slot=second.first_slot + 2)
    turns = ["first"] * first.frames + ["second"] * second.frames
    order.shuffle(turns)
    at, pieces = {"first": 0, "second": 0}, []
    for turn in turns:
        source = first if turn == "first" else second
        windows = fed(state, part(source, at[turn], at[turn] + 1))
        at[turn] += 1
        if turn == "second":
            pieces.append(windows)
    mixed = joined(pieces)
    same(mixed._replace(slot=mixed.slot - 2), alone)


@each_kind
@settings(max_examples=40, deadline=None)
@given(whole=frames())
def test_growing_the_state_changes_nothing(steps, whole):
    state = new_state(steps, 2)
    head = fed(state, part(whole, 0, whole.frames // 2))
    state.reserve(500)
    same(joined([head, fed(state, part(whole, whole.frames // 2, whole.frames))]), fed(new_state(steps, 2), whole))


@each_kind
@settings(max_examples=40, deadline=None)
@given(whole=frames())
def test_rebuilding_without_windows_reaches_the_same_state(steps, whole):
    half = whole.frames // 2
    rebuilt = new_state(steps, 2)
    cursor = np.zeros(3, np.int64)
    nothing = WindowBatch.empty(0, steps.window, len(steps.channels))
    assert rebuilt.update(part(whole, 0, half), cursor, nothing, 0, emit=False) == 0
    live = new_state(steps, 2)
    fed(live, part(whole, 0, half))
    rest = part(whole, half, whole.frames)
    same(fed(rebuilt, rest), fed(live, rest))
