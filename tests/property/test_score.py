"""What was learned is a function of the log: whatever is lost on the way, the same is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from model.schema import CycleSteps
from stream.cells import Cells
from stream.checkpoint import Checkpoint
from stream.pages import cell_of, decode, encode
from stream.records import Prediction
from stream.restoration import Restoration
from stream.score import Fate, Score
from stream.settings import LimitSettings
from stream.truths import Truth
from tests.predictions import predict
from tests.troubles import TURNS, Kept, committed, compacted

STEPS = CycleSteps()
PAGE_BYTES = 110
Event = Prediction | Truth


@st.composite
def logs(draw: Any) -> list[Event]:
    """Predictions and truths of a few cells, in and out of step, some without value or number, some twice."""
    log: list[Event] = []
    steps: dict[int, int] = {}
    for cell, kind, ahead, soh in draw(
        st.lists(
            st.tuples(
                st.integers(0, 4),
                st.sampled_from(["predict", "predict", "truth", "truth", "both", "no value", "no number"]),
                st.integers(-1, 1),
                st.sampled_from([0.5, 0.93, 0.949, 0.95, 0.96, 1.0]),
            ),
            max_size=60,
        )
    ):
        step = steps.get(cell, 1)
        if kind in ("truth", "both", "no number"):
            log.append(Truth("P1", cell, -1 if kind == "no number" else step + ahead, 5 * soh))
        if kind in ("predict", "both", "no value"):
            log.append(predict("P1", cell, step, None if kind == "no value" else 0.95))
            steps[cell] = step + 1
    return log


@dataclass
class Ticket:
    end: int
    told: list[Prediction]
    fates: list[Fate]
    pages: Kept


class Member:
    """One process's part for one partition: what the pipeline does with predictions and truths, without its loop."""

    def __init__(self, log: list[Event], kept: Kept, end: int, *, adapts: bool = True) -> None:
        self.log = log
        self.at = end
        self.fates: list[Fate] = []
        self.score = Score(adapts=adapts, max_cells=3, tell=self.fates.append, scored=lambda *_: None)
        restoration = Restoration(lambda: Cells(STEPS, LimitSettings(), idle_ttl_s=7200))
        restoration.read(kept)
        cells = restoration.finish(end, reset=False)
        restoration.learned(self.score)
        self.checkpoint = Checkpoint(cells, "state", 0, 1.0, restoration.lineage)
        self.checkpoint.stale = restoration.stale

    def feed(self, count: int, now_s: float = 0.0) -> Ticket:
        """Works off the next events."""
        events = self.log[self.at : self.at + count]
        self.at += len(events)
        written = self.checkpoint.due(self.at, now_s)
        told = [each for each in events if isinstance(each, Prediction)]
        before = [sum(isinstance(each, Prediction) for each in events[:at]) for at in range(len(events))]
        truths = [(after, each) for after, each in zip(before, events, strict=True) if isinstance(each, Truth)]
        self.fates.clear()
        published = self.score.settle(told, truths)
        written += self.checkpoint.learned(self.score)
        return Ticket(self.at, published, list(self.fates), [(page.key or b"", page.value) for page in written])


@settings(max_examples=200, deadline=None)
@given(log=logs(), turns=TURNS)
def test_any_sequence_of_batches_commits_crashes_and_compactions_publishes_what_a_clean_run_does(log, turns):
    tickets = committed(turns, len(log), lambda kept, end: Member(log, kept, end))
    clean = Member(log, [], 0).feed(len(log))
    assert [each for ticket in tickets for each in ticket.told] == clean.told
    assert [each for ticket in tickets for each in ticket.fates] == clean.fates


@settings(max_examples=60, deadline=None)
@given(log=logs(), at=st.integers(0, 60))
def test_no_truth_changes_what_was_published_before_it(log, at):
    whole, part = Member(log, [], 0).feed(len(log)), Member(log[:at], [], 0).feed(at)
    assert whole.told[: len(part.told)] == part.told


@settings(max_examples=60, deadline=None)
@given(log=logs())
def test_pages_are_small_and_only_of_followed_cells_and_read_back_as_they_were_written(log):
    member = Member(log, [], 0)
    kept = compacted(member.feed(len(log)).pages)
    assert {cell for key, _ in kept if (cell := cell_of(key))} == set(member.score.followed)
    for _, value in kept:
        assert value is not None
        assert encode(decode(value)) == value
        assert len(value) <= PAGE_BYTES


@settings(max_examples=150, deadline=None)
@given(log=logs(), turns=st.lists(st.integers(1, 9), max_size=12), whole=st.booleans())
def test_what_is_read_back_is_all_that_was_learned_and_in_the_same_order(log, turns, whole):
    member = Member(log, [], 0)
    kept = [page for events in [*turns, len(log)] for page in member.feed(events).pages]
    restored = Member(log, kept if whole else compacted(kept), len(log)).score
    assert list(restored.followed.items()) == list(member.score.followed.items())
    assert (restored.width, restored.waiting) == (member.score.width, member.score.waiting)


def test_a_service_that_no_longer_adapts_takes_the_pages_away_and_a_later_one_begins_anew():
    log: list[Event] = []
    for step in range(1, 20):
        log += [Truth("P1", 0, step, 1.0), predict(step=step)]
    kept = Member(log, [], 0).feed(20).pages
    assert Member(log, kept, 20).score.width.factor > 2
    kept += Member(log, kept, 20, adapts=False).feed(0).pages
    assert {key for key, _ in compacted(kept)} == {b"mark"}
    assert Member(log, kept, 20).score.width.factor == 1
