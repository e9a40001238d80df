"""Laws of merging, multiplying and encoding."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from model.recording import Recording
from replay.feeder import Feed, rebased_shift_ms
from replay.fleet import members
from replay.merge import Lane, due_ms, merged
from replay.shortest import shortest
from stream.errors import ConfigurationError
from stream.records import CellSample, PackFrame, Telemetry

times = st.lists(st.integers(0, 60), min_size=0, max_size=40).map(lambda values: np.array(values, np.int64))
lanes_of_times = st.lists(st.tuples(times, st.integers(-20, 20)), min_size=1, max_size=6)


def recording(name: str, t_ms: NDArray[np.int64], cells: int = 1, probes: int = 1) -> Recording:
    rows = len(t_ms)
    rng = np.random.default_rng([rows, cells, *name.encode()])
    return Recording(
        pack_id=name,
        kind="cell" if cells == 1 else "pack",
        t_ms=t_ms,
        current_a=rng.normal(0, 5, rows).astype(np.float32),
        voltage_v=rng.normal(3.5, 0.1, (rows, cells)).astype(np.float32),
        temp_degc=rng.normal(25, 1, (rows, probes)).astype(np.float32),
        cycle=rng.integers(-1, 3, rows).astype(np.int32),
        nominal_capacity_ah=2.0,
    )


def decoded(feed: Feed) -> list[CellSample | PackFrame]:
    return [msgspec.json.decode(value, type=Telemetry) for batch in feed for value in batch.values]


@given(lanes_of_times, st.integers(1, 50))
def test_merge_is_ordered_complete_and_keeps_each_lanes_order(
    given_lanes: Sequence[tuple[NDArray[np.int64], int]], rows: int
) -> None:
    lanes = [Lane(due_ms(t_ms), shift) for t_ms, shift in given_lanes]
    slices = list(merged(lanes, rows))
    lane = np.concatenate([part.lane for part in slices]) if slices else np.zeros(0, np.int64)
    row = np.concatenate([part.row for part in slices]) if slices else np.zeros(0, np.int64)
    due = np.concatenate([part.due_ms for part in slices]) if slices else np.zeros(0, np.int64)
    assert (np.diff(due) >= 0).all()
    for index, (t_ms, shift) in enumerate(given_lanes):
        mine = row[lane == index]
        assert mine.tolist() == list(range(len(t_ms)))
        assert (due[lane == index] >= t_ms + shift).all()
    assert all(0 < len(part.row) <= rows for part in slices)
    # The order is one and the same however it is sliced.
    (whole,) = merged(lanes, 10_000) if len(row) else (None,)
    if whole is not None:
        assert whole.lane.tolist() == lane.tolist()


def test_merge_holds_few_rows_at_a_time_when_lanes_do_not_overlap() -> None:
    lanes = [Lane(np.arange(10_000, dtype=np.int64) + start, 0) for start in (0, 1_000_000, 2_000_000)]
    assert max(len(part.row) for part in merged(lanes, 300)) <= 300
    assert sum(len(part.row) for part in merged(lanes, 300)) == 30_000


@given(st.lists(times.filter(len), min_size=1, max_size=3), st.integers(0, 7))
def test_multiplied_packs_have_identities_of_their_own_and_the_same_samples(
    recorded: list[NDArray[np.int64]], extra: int
) -> None:
    recordings = [recording(f"R{index}", t_ms, cells=1 + index) for index, t_ms in enumerate(recorded)]
    fleet = members(recordings, len(recordings) + extra)
    sent = decoded(Feed(fleet))
    assert len({member.pack_id for member in fleet}) == len(fleet) == len(recordings) + extra
    assert [member.pack_id for member in fleet[: len(recordings)]] == [one.pack_id for one in recordings]
    for member in fleet:
        mine = [told for told in sent if told.pack_id == member.pack_id]
        original = member.recording
        assert [told.t_ms - member.shift_ms for told in mine] == original.t_ms.tolist()
        voltages = np.array([told.voltage_v for told in mine], np.float32).reshape(original.voltage_v.shape)
        assert np.array_equal(voltages, original.voltage_v)
        assert 0 <= member.shift_ms < 60_000


def test_a_fleet_smaller_than_its_recordings_is_refused() -> None:
    recordings = [recording(name, np.arange(3)) for name in "abc"]
    with pytest.raises(ConfigurationError, match="packs = 2"):
        members(recordings, 2)


@given(st.integers(0, 130), st.integers(1, 40))
def test_skipping_what_was_sent_gives_exactly_the_rest(skip: int, batch_records: int) -> None:
    fleet = members([recording("a", np.arange(60) * 3), recording("b", np.arange(40) * 5, cells=3)])
    whole = [value for batch in Feed(fleet) for value in batch.values]
    feed = Feed(fleet, skip=skip, batch_records=batch_records)
    assert [value for batch in feed for value in batch.values] == whole[skip:]
    assert feed.records == len(whole[skip:])


@given(
    st.integers(0, 10**12), st.integers(0, 10**9), st.sampled_from([0.1, 0.5, 1.0, 3.0, 1e4, float("inf")]), st.data()
)
def test_rebased_event_time_never_runs_ahead_of_the_clock(
    first_ms: int, duration_ms: int, speed: float, data: st.DataObject
) -> None:
    now_ms = 1_800_000_000_000
    shift = rebased_shift_ms(first_ms, first_ms + duration_ms, now_ms, speed)
    t_ms = first_ms + data.draw(st.integers(0, duration_ms))
    sent_ms = now_ms + (t_ms - first_ms) / speed
    assert t_ms + shift <= sent_ms + 1e-3


@settings(max_examples=300)
@given(arrays(np.float32, st.integers(1, 30), elements=st.floats(width=32, allow_nan=True, allow_infinity=True)))
def test_float32_readings_survive_json_exactly_in_their_shortest_form(values: NDArray[np.float32]) -> None:
    doubles = shortest(values)
    sent = np.array(msgspec.json.decode(msgspec.json.encode(doubles.tolist())), np.float64)
    finite = np.isfinite(values)
    assert np.array_equal(sent.astype(np.float32)[finite], values[finite])
    assert np.isnan(sent[~finite]).all()  # JSON has neither NaN nor infinity: both are null
    usual = (np.abs(values) >= 1e-9) & (np.abs(values) < 1e14)
    assert [repr(double) for double in doubles[usual].tolist()] == [repr(float(str(one))) for one in values[usual]]


def test_no_recording_leaves_no_record() -> None:
    empty = recording("a", np.zeros(0, np.int64))
    feed = Feed(members([empty]))
    assert (list(feed), feed.records, feed.first_ms, feed.last_ms) == ([], 0, 0, 0)
