from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.dataset import block_of, fingerprint, windows_of
from model.recording import Recording
from model.schema import CycleSteps, SampleSteps, Target
from model.steps import new_cursor, new_state
from model.windows import WindowBatch
from tests.fading import fading_cell, soh_at

SOH = (Target(kind="soh"),)
KINDS = [
    CycleSteps(window=7, min_cycles=1),
    CycleSteps(window=80, min_cycles=3),
    SampleSteps(period_s=60, window=20, stride=6),
    SampleSteps(period_s=60, window=20, stride=31),
    SampleSteps(period_s=120, max_gap_s=600, window=9, stride=9),
]


def _with_holes(recording: Recording) -> Recording:
    """A gap long enough to start a new window, some rows missing, a glitch and readings that are not there."""
    rng = np.random.default_rng(5)
    t_ms = recording.t_ms.copy()
    t_ms[400:] += 7_200_000
    voltage_v = recording.voltage_v.copy()
    voltage_v[rng.random(voltage_v.shape) < 0.02] = np.nan
    voltage_v[30] = 8.39
    kept = rng.random(recording.frames) > 0.05
    return replace(
        recording,
        t_ms=t_ms[kept],
        current_a=recording.current_a[kept],
        voltage_v=voltage_v[kept],
        temp_degc=recording.temp_degc[kept],
        cycle=recording.cycle[kept],
    )


def _live(recording: Recording, steps: CycleSteps | SampleSteps) -> tuple[np.ndarray, np.ndarray]:
    """All due windows of ``min_steps`` and more, sorted by cell, as the stream would hand them to the model."""
    block, state = block_of(recording), new_state(steps, recording.cells)
    out = WindowBatch.empty(50_000, steps.window, len(steps.channels))
    filled = state.update(block, new_cursor(), out, 0)
    enough = np.flatnonzero(out.length[:filled] >= steps.min_steps)
    order = enough[np.argsort(out.slot[enough], kind="stable")]
    return out.windows[order], out.slot[order]


@pytest.mark.parametrize("steps", KINDS)
def test_training_windows_are_the_live_windows_bit_for_bit(steps: CycleSteps | SampleSteps) -> None:
    recording = _with_holes(fading_cell("P", cells=3, cycles=25))
    windows, slot = _live(recording, steps)
    found = windows_of([recording], steps, SOH, 0.8)
    assert len(found) == len(windows) > 10
    assert found.cell.tolist() == slot.tolist()
    assert np.array_equal(found.windows(np.arange(len(found))), windows, equal_nan=True)


@pytest.mark.parametrize("steps", KINDS)
def test_a_step_is_stored_once_however_many_windows_show_it(steps: CycleSteps | SampleSteps) -> None:
    recording = fading_cell("P", cells=2, cycles=25)
    found = windows_of([recording], steps, SOH, 0.8)
    most = 2 * (25 if isinstance(steps, CycleSteps) else recording.frames)
    assert len(found.steps) <= most
    assert len(found.step_cell) == len(found.steps)


def test_windows_of_several_recordings_are_those_of_each() -> None:
    steps = CycleSteps(window=5)
    recordings = [fading_cell("A", cycles=12), fading_cell("B", cells=2, cycles=9)]
    together = windows_of(iter(recordings), steps, SOH, 0.8)
    assert together.cell_ids == ["A", "B/0", "B/1"]
    for recording in recordings:
        alone = windows_of([recording], steps, SOH, 0.8)
        rows = together.of_cells(alone.cell_ids)
        assert np.array_equal(together.windows(rows), alone.windows(np.arange(len(alone))), equal_nan=True)
        assert np.array_equal(together.labels[rows], alone.labels, equal_nan=True)


def test_labels_belong_to_the_cell_and_cycle_of_their_window() -> None:
    steps = CycleSteps(window=5, min_cycles=2)
    found = windows_of([fading_cell("P", cells=2, cycles=40, fade=0.008)], steps, (*SOH, Target(kind="rul")), 0.8)
    for cell, fade in enumerate([0.008, 0.0088]):
        rows = found.of_cells([f"P/{cell}"])
        assert found.cycle[rows].tolist() == list(range(1, 39))  # the first is too short, the last never closes
        np.testing.assert_allclose(found.labels[rows, 0], soh_at(found.cycle[rows], fade), rtol=1e-6)
        end = next(cycle for cycle in range(40) if soh_at(np.float32(cycle), fade) < np.float32(0.8))
        assert found.labels[rows, 1].tolist() == [max(end - cycle, 0) for cycle in range(1, 39)]


def test_the_measured_charge_of_a_cycle_follows_its_label() -> None:
    steps = CycleSteps(window=5)
    found = windows_of([fading_cell("A", fade=0.01)], steps, SOH, 0.8)
    drawn = [channel.name for channel in steps.channels].index("discharge")
    shown = found.windows(np.arange(len(found)))[:, -1, drawn]
    assert np.corrcoef(shown, found.labels[:, 0])[0, 1] > 0.999


def test_steps_that_close_by_themselves_take_the_label_of_the_cycle_they_end_in() -> None:
    steps = CycleSteps(close_on="equivalent_full_cycle", window=5)
    recording = fading_cell("A", fade=0.01)
    found = windows_of([recording], steps, SOH, 0.8)
    np.testing.assert_allclose(found.labels[:, 0], soh_at(found.cycle, 0.01), rtol=1e-6)
    assert found.cycle[-1] > len(found)  # full cycles come less often than faded ones
    unnumbered = replace(recording, cycle=np.full(recording.frames, -1, np.int32))
    assert np.isnan(windows_of([unnumbered], CycleSteps(window=5), SOH, 0.8).labels).all()


def test_a_recording_without_truth_gives_windows_without_labels() -> None:
    found = windows_of([replace(fading_cell("A"), truth=None)], CycleSteps(), SOH, 0.8)
    assert len(found) > 10
    assert np.isnan(found.labels).all()


def test_no_recordings_give_no_windows() -> None:
    found = windows_of([], CycleSteps(window=5), SOH, 0.8)
    assert len(found) == 0
    assert found.windows(np.zeros(0, np.int64)).shape == (0, 5, 32)
    assert len(found.of_cells(["A"])) == 0


def test_readings_beyond_physics_are_as_good_as_none() -> None:
    recording = fading_cell("A")
    absurd_v, absurd_a = recording.voltage_v.copy(), recording.current_a.copy()
    absurd_v[[3, 9]] = [[65.0], [0.003]]
    absurd_a[[20, 40]] = [np.inf, 60_000]
    kept = np.ones(recording.frames, bool)
    kept[[3, 9, 20, 40]] = False
    without = replace(
        recording,
        t_ms=recording.t_ms[kept],
        current_a=recording.current_a[kept],
        voltage_v=recording.voltage_v[kept],
        temp_degc=recording.temp_degc[kept],
        cycle=recording.cycle[kept],
    )
    found = windows_of([replace(recording, voltage_v=absurd_v, current_a=absurd_a)], CycleSteps(), SOH, 0.8)
    assert np.array_equal(found.steps, windows_of([without], CycleSteps(), SOH, 0.8).steps, equal_nan=True)
    assert absurd_v[3, 0] == 65.0  # the recording itself is not touched


def test_a_cell_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cell A \(made/for_tests\) comes twice"):
        windows_of([fading_cell("A"), fading_cell("A", seed=1)], CycleSteps(), SOH, 0.8)


def test_a_fingerprint_follows_readings_and_truth() -> None:
    recording = fading_cell("A")
    assert fingerprint(recording) == fingerprint(fading_cell("A"))
    assert recording.truth is not None
    capacity_ah = recording.truth.capacity_ah + np.float32(0.1)
    others = [
        fading_cell("A", seed=1),
        replace(recording, truth=None),
        replace(recording, truth=replace(recording.truth, capacity_ah=capacity_ah)),
    ]
    assert len({fingerprint(one) for one in (recording, *others)}) == 4
