"""Which frames the state takes: physics, time, and what the pack has been so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from model.schema import CycleSteps
from stream.cells import Cells
from stream.frames import frames_of
from stream.records import CellSample, PackFrame
from stream.refusal import Reason
from stream.settings import LimitSettings

NOW_MS = 1_731_000_000_000
YEAR_2070_MS = 3_155_760_000_000
IDLE_TTL_S = 1000.0


def frame(**changes: Any) -> PackFrame:
    given: dict[str, Any] = {"pack_id": "P1", "t_ms": NOW_MS, "current_a": 1.0, "voltage_v": [3.3, 3.4]}
    return PackFrame(**{**given, **changes})


def sample(**changes: Any) -> CellSample:
    given: dict[str, Any] = {"pack_id": "C1", "cell": 0, "t_ms": NOW_MS, "current_a": 1.0, "voltage_v": 3.3}
    return CellSample(**{**given, **changes})


def admit(cells: Cells, *frames: PackFrame | CellSample, received_ms: int = NOW_MS, offset: int = 100):
    count = len(frames)
    (found,) = cells.admit(
        frames_of(frames), np.arange(offset, offset + count), np.full(count, received_ms), frames.__getitem__
    )
    return found


def cells(max_cells: int = 1000) -> Cells:
    return Cells(CycleSteps(), LimitSettings(partition_cells=max_cells), idle_ttl_s=IDLE_TTL_S)


BAD = {
    "65 V in a cell sample": (sample(voltage_v=65.0), Reason.OUT_OF_RANGE, "voltage_v: 65.0 V"),
    "65 V in all cells": (frame(voltage_v=[65.0, 65.0]), Reason.OUT_OF_RANGE, "65.0 V"),
    "all cells null": (frame(voltage_v=[None, None]), Reason.INVALID_READING, "all 2 readings are null"),
    "215 degC": (sample(temp_degc=215.0), Reason.OUT_OF_RANGE, "temp_degc: 215.0 degC"),
    "5550 A": (frame(current_a=5550.0), Reason.OUT_OF_RANGE, "current_a: 5550.0 A"),
    "1e300 A": (frame(current_a=1e300), Reason.OUT_OF_RANGE, "current_a"),
    "year 2070": (frame(t_ms=YEAR_2070_MS), Reason.TIME_IN_FUTURE, str(YEAR_2070_MS)),
    "seconds for milliseconds": (frame(t_ms=NOW_MS // 1000), Reason.OUT_OF_RANGE, "not seconds"),
}


@pytest.mark.parametrize("name", BAD)
def test_implausible_frame_is_refused_with_field_and_value_and_leaves_no_trace(name):
    bad, reason, said = BAD[name]
    state = cells()
    admitted, refused = admit(state, bad)
    assert admitted.block.frames == 0
    assert [(refusal.position, refusal.reason) for refusal in refused] == [(0, reason)]
    assert said in refused[0].error
    assert len(state) == 0


def test_one_invalid_cell_is_masked_and_the_frame_is_kept():
    admitted, refused = admit(cells(), frame(voltage_v=[3.3, 65.0, None, 3.4]))
    assert not refused
    np.testing.assert_array_equal(np.isnan(admitted.block.voltage_v), [False, True, True, False])


def test_broken_probe_of_a_pack_is_masked_and_the_frame_is_kept():
    admitted, refused = admit(cells(), frame(temp_degc=[25.0, 215.0]))
    assert not refused
    np.testing.assert_array_equal(np.isnan(admitted.block.temp_degc), [False, True])


def test_event_time_within_the_tolerance_is_taken():
    assert not admit(cells(), frame(t_ms=NOW_MS + 299_000))[1]
    assert admit(cells(), frame(t_ms=NOW_MS + 301_000))[1][0].reason is Reason.TIME_IN_FUTURE


def test_pack_keeps_its_cell_count():
    state = cells()
    admitted, refused = admit(state, frame(), frame(voltage_v=[3.3] * 3), frame(t_ms=NOW_MS + 1))
    assert admitted.offset.tolist() == [100, 102]
    assert [(refusal.position, refusal.reason) for refusal in refused] == [(1, Reason.CELL_COUNT_CHANGED)]
    assert "3 cells, but pack 'P1' has 2" in refused[0].error


def test_pack_reports_one_way_only():
    state = cells()
    assert admit(state, frame(), sample(pack_id="P1"))[1][0].reason is Reason.KIND_CHANGED
    assert admit(state, sample(), frame(pack_id="C1"))[1][0].reason is Reason.KIND_CHANGED


def test_every_cell_has_a_slot_of_its_own_and_knows_its_owner():
    state = cells()
    admitted, _ = admit(state, frame(), sample(cell=5), frame(pack_id="P2"), sample(cell=2), sample(cell=5))
    assert admitted.block.first_slot.tolist() == [0, 2, 3, 5, 2]
    owners = state.packs.owners(np.arange(len(state)))
    assert owners == [("P1", 0), ("P1", 1), ("C1", 5), ("P2", 0), ("P2", 1), ("C1", 2)]


def test_readings_of_kept_frames_stay_where_they_are_when_others_are_refused():
    admitted, _ = admit(
        cells(), frame(voltage_v=[65.0, 66.0]), frame(voltage_v=[3.1, 3.2]), frame(pack_id="P3", voltage_v=[3.5])
    )
    block = admitted.block
    readings = [
        block.voltage_v[start : start + count].tolist()
        for start, count in zip(block.voltage_start, block.cells, strict=True)
    ]
    np.testing.assert_allclose(readings[0], [3.1, 3.2], rtol=1e-6)
    np.testing.assert_allclose(readings[1], [3.5], rtol=1e-6)


def test_cells_beyond_the_limit_are_refused_and_those_within_go_on():
    state = cells(max_cells=5)
    frames = [
        frame(),
        sample(cell=1),
        frame(pack_id="P2"),
        frame(pack_id="P3"),
        sample(cell=2),
        sample(cell=1),
        frame(),
    ]
    admitted, refused = admit(state, *frames)
    assert [(each.position, each.reason) for each in refused] == [(3, Reason.CELL_LIMIT), (4, Reason.CELL_LIMIT)]
    assert "limits.partition_cells = 5" in refused[0].error
    assert admitted.offset.tolist() == [100, 101, 102, 105, 106]
    assert len(state) == 5
    assert set(state.packs.by_id) == {"P1", "C1", "P2"}


def test_unknown_pack_beyond_the_limit_leaves_no_trace():
    state = cells(max_cells=1)
    admit(state, sample(), sample(pack_id="C2"))
    assert set(state.packs.by_id) == {"C1"}


def test_pack_that_was_silent_for_too_long_makes_room_and_others_do_not():
    state = cells(max_cells=4)
    admit(state, frame(), sample(cell=1))
    later_ms = NOW_MS + round(IDLE_TTL_S * 900)
    admit(state, frame(t_ms=later_ms), received_ms=later_ms)
    wanting = frame(pack_id="P9", voltage_v=[3.3, 3.3], t_ms=later_ms)
    assert admit(state, wanting, received_ms=later_ms)[1][0].reason is Reason.CELL_LIMIT
    late_ms = NOW_MS + round(IDLE_TTL_S * 1000) + 1
    assert not admit(state, wanting, received_ms=late_ms)[1]
    assert set(state.packs.by_id) == {"P1", "P9"}
    assert len(state) == 4


def test_pack_that_comes_back_after_its_silence_is_new_and_counts_its_steps_on():
    state = cells()
    admitted, _ = admit(state, frame())
    slot = int(admitted.block.first_slot[0])
    state.state.column("step")[slot : slot + 2] = 7, 9
    state.state.column("t_ms")[slot : slot + 2] = NOW_MS
    later_ms = NOW_MS + 10**9
    admitted, refused = admit(state, frame(voltage_v=[3.3] * 3, t_ms=later_ms), received_ms=later_ms, offset=200)
    assert not refused, "a pack of another life may have another number of cells"
    slots = slice(slot := int(admitted.block.first_slot[0]), slot + 3)
    for name, value in (("step", 9), ("first_step", 9), ("t_ms", -1)):
        assert state.state.column(name)[slots].tolist() == [value] * 3
    assert state.packs.by_id["P1"].life == 200


def test_slots_of_packs_that_are_gone_are_used_again():
    state = cells(max_cells=4)
    for turn in range(20):
        now_ms = NOW_MS + turn * 2 * round(IDLE_TTL_S * 1000)
        names = (f"A{turn}", f"B{turn}")
        assert not admit(state, *(frame(pack_id=name, t_ms=now_ms) for name in names), received_ms=now_ms)[1]
        assert set(state.packs.by_id) == set(names)
    assert state.state.slots == 4
