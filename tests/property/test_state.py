"""Laws of state that is kept in pages: whatever is lost on the way, it comes back as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.schema import CycleSteps, SampleSteps
from model.steps import new_cursor
from model.windows import WindowBatch
from stream.cells import Cells
from stream.checkpoint import Checkpoint
from stream.frames import frames_of
from stream.pages import MARK_KEY, PageError, decode, encode
from stream.records import CellSample, PackFrame
from stream.restoration import Restoration
from stream.settings import LimitSettings
from tests.troubles import TURNS, Kept, committed, compacted

T0_MS = 1_700_000_000_000
IDLE_TTL_S = 2000.0
PAGE_INTERVAL_S = 2.0  # a turn is a second
KINDS = [
    SampleSteps(period_s=10, max_gap_s=40, window=20, stride=4),
    CycleSteps(window=20, reference_cycles=2, close_on="charge", min_depth=0.01),
    CycleSteps(window=3),
]
each_kind = pytest.mark.parametrize("steps", KINDS, ids=lambda steps: getattr(steps, "close_on", steps.kind))

Entry = tuple[PackFrame | CellSample, int]  # what the log holds: a record, and when it arrived


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from([1_000, 20_000, 20_000, 60_000, 60_000, 900_000]),
        st.sampled_from([0, 0, 0, 30_000]),
        st.sampled_from([0, 0, 0, 1, 2, 3]),
        st.sampled_from([None, None, None, None, 0, 1, 2]),
        st.sampled_from([-3.0, 0.0, 3.0]),
        st.sampled_from([[3.1, 3.4], [3.4, 3.9], [3.9, 3.1], [3.4, None], [3.1, 3.4, 3.9]]),
        st.integers(1, 2),
    ),
    min_size=10,
    max_size=80,
)


@st.composite
def logs(draw: Any) -> list[Entry]:
    """Records of packs and of single cells, with gaps, repetitions, changes of size, silence, and too many cells."""
    entries: list[Entry] = []
    arrived_ms = T0_MS
    for pause_ms, late_ms, pack, cell, current_a, volts, times in draw(ENTRIES):
        arrived_ms += pause_ms
        t_ms = arrived_ms - late_ms
        cycle = (t_ms - T0_MS) // 100_000
        frame: PackFrame | CellSample
        if cell is not None:
            frame = CellSample(f"C{pack}", cell, t_ms, current_a, volts[0] or 3.3, cycle=cycle)
        else:
            frame = PackFrame(f"P{pack}", t_ms, current_a, volts, [25.0], cycle=cycle)
        entries += [(frame, arrived_ms)] * times
    return entries


@dataclass
class Outcome:
    """What came of a log: windows by who and which step, and refusals by offset."""

    windows: list[tuple[Any, ...]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Ticket:
    end: int
    outcome: Outcome
    pages: Kept


class Member:
    """One process's part for one partition: what the pipeline does with records, without its loop."""

    def __init__(
        self, steps: SampleSteps | CycleSteps, log: list[Entry], kept: Kept, end: int, bound_s: float = 0.0
    ) -> None:
        self.log = log
        limits = LimitSettings(partition_cells=9, max_out_of_orderness_s=bound_s)
        restoration = Restoration(lambda: Cells(steps, limits, idle_ttl_s=IDLE_TTL_S))
        restoration.read(kept)
        self.cells = restoration.finish(end, reset=False)
        self.checkpoint = Checkpoint(self.cells, "state", 0, PAGE_INTERVAL_S, restoration.lineage)
        self.checkpoint.stale = restoration.stale
        begin = self.cells.next_offset or 0
        if begin < end:
            self._fold(begin, end, replayed=True)
        self.at = end

    def feed(self, count: int, now_s: float) -> Ticket:
        """Works off the next records."""
        begin, self.at = self.at, min(self.at + count, len(self.log))
        outcome = self._fold(begin, self.at, replayed=False)
        pages = [(page.key or b"", page.value) for page in self.checkpoint.due(self.at, now_s)]
        return Ticket(self.at, outcome, pages)

    def _fold(self, begin: int, end: int, *, replayed: bool) -> Outcome:
        frames = [frame for frame, _ in self.log[begin:end]]
        offset = np.arange(begin, end)
        arrived_ms = np.array([arrived for _, arrived in self.log[begin:end]], np.int64)
        outcome = Outcome()
        steps = self.cells.state.steps
        admissions = self.cells.admit(frames_of(frames), offset, arrived_ms, frames.__getitem__, replayed=replayed)
        for admitted, refused in admissions:
            outcome.refused += [(begin + each.position, each.reason) for each in refused]
            cursor = new_cursor()
            while cursor[0] < admitted.block.frames:
                out = WindowBatch.empty(2, steps.window, len(steps.channels))
                filled = self.cells.update(admitted, cursor, out, 0, emit=not replayed)
                for row, owner in enumerate(self.cells.packs.owners(out.slot[:filled])):
                    numbers = (out.step[row], out.length[row], out.cycle[row], out.t_ms[row], out.flags[row])
                    source = int(admitted.offset[out.frame[row]])
                    outcome.windows.append((*owner, *map(int, numbers), source, out.windows[row].tobytes()))
        return outcome


def clean(steps: SampleSteps | CycleSteps, log: list[Entry], bound_s: float = 0.0) -> Outcome:
    return Member(steps, log, [], 0, bound_s).feed(len(log), 0.0).outcome


@each_kind
@settings(max_examples=100, deadline=None)
@given(log=logs(), turns=TURNS, bound_s=st.sampled_from([0.0, 45.0]))
def test_any_sequence_of_batches_commits_crashes_and_compactions_gives_what_a_clean_run_gives(
    steps, log, turns, bound_s
):
    tickets = committed(turns, len(log), lambda kept, end: Member(steps, log, kept, end, bound_s))
    found = Outcome(
        [window for ticket in tickets for window in ticket.outcome.windows],
        [refused for ticket in tickets for refused in ticket.outcome.refused],
    )
    expected = clean(steps, log, bound_s)
    assert found.refused == expected.refused
    assert found.windows == expected.windows
    names = [window[:3] for window in found.windows]
    assert len(set(names)) == len(names), "a prediction's name is used once"


@settings(max_examples=60, deadline=None)
@given(log=logs(), data=st.data())
def test_truncated_or_flipped_page_is_refused_and_never_misread(log, data):
    member = Member(KINDS[1], log, [], 0)
    pages = compacted([*member.feed(len(log), 0.0).pages, *member.feed(0, 100.0).pages])
    key, value = data.draw(st.sampled_from(pages))
    assert value is not None
    assert encode(decode(value)) == value
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    flipped = bytearray(value)
    flipped[bit // 8] ^= 1 << bit % 8
    for damaged in (bytes(flipped), value[: bit // 8]):
        with pytest.raises(PageError):
            decode(damaged)
        kept = [(each, damaged if each == key else whole) for each, whole in pages]
        with pytest.raises(PageError, match=r"--state reset"):
            Member(KINDS[1], log, kept, len(log))


def test_restored_state_begins_at_the_mark_and_not_at_the_beginning():
    log = [(PackFrame("P1", T0_MS + at * 1000, 1.0, [3.5, 3.6]), T0_MS + at * 1000) for at in range(100)]
    member = Member(KINDS[0], log, [], 0)
    kept = [page for now_s in range(10) for page in member.feed(10, float(now_s)).pages]
    restoration = Restoration(lambda: Cells(KINDS[0], LimitSettings(), idle_ttl_s=IDLE_TTL_S))
    restoration.read(kept)
    assert restoration.finish(100, reset=False).next_offset == 90
    marks = [decode(value).offset for key, value in kept if key == MARK_KEY and value]
    assert marks == [0, 30, 60, 90]


@each_kind
@settings(max_examples=60, deadline=None)
@given(
    delays_s=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    single=st.booleans(),
    batch=st.integers(1, 20),
)
def test_records_that_overtook_one_another_within_the_bound_are_used_in_order(steps, delays_s, single, batch):
    def frame(at: int) -> PackFrame | CellSample:
        t_ms, cycle, volt = T0_MS + at * 7_000, at // 12, 3.2 + at % 8 / 10
        current_a = 3.0 if at // 6 % 2 else -3.0
        if single:
            return CellSample("P", 4, t_ms, current_a, volt, cycle=cycle)
        return PackFrame("P", t_ms, current_a, [volt, volt + 0.01], cycle=cycle)

    end = len(delays_s)
    arrivals_ms = [T0_MS + at * 7_000 + delay_s * 1000 for at, delay_s in enumerate(delays_s)]
    closing = (PackFrame("Q", T0_MS + end * 7_000, 1.0, [3.3, 3.3]), T0_MS + end * 7_000 + 100_000)
    in_order = [(frame(at), T0_MS + at * 7_000) for at in range(end)]
    as_arrived = sorted(zip((frame(at) for at in range(end)), arrivals_ms, strict=True), key=lambda entry: entry[1])
    member = Member(steps, [*as_arrived, closing], [], 0, bound_s=45.0)
    found = [window for _ in range(end // batch + 2) for window in member.feed(batch, 0.0).outcome.windows]
    expected = clean(steps, in_order).windows
    assert [window[:-2] + window[-1:] for window in found] == [window[:-2] + window[-1:] for window in expected]
