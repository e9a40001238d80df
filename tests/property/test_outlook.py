"""What is seen of packs is a function of the log: whatever is lost on the way, the same alerts and roll-ups come."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import nan
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.schema import CycleSteps
from stream.alarms import Rule
from stream.answers import Answers
from stream.cells import Cells
from stream.checkpoint import Checkpoint
from stream.outlook import Outlook
from stream.records import Alert, PackRollup
from stream.restoration import Restoration
from stream.seams import Partition
from stream.settings import LimitSettings
from tests.answers import answer, told
from tests.troubles import TURNS, Kept, committed, compacted

STEPS, RULE = CycleSteps(), Rule(eol_soh=0.8, p_warranty=0.5, fade_soh=0.03, outlier_soh=0.03, patience=2)


class Record(NamedTuple):
    """What one record makes due, by which model, and whether its pack is gone by then."""

    model_id: str
    pack_id: str
    answers: list[np.ndarray]
    gone: bool


@st.composite
def logs(draw: Any) -> list[Record]:
    """Answers to a few packs, some of which end; after a while another model answers."""
    cells = st.tuples(st.integers(0, 4), st.sampled_from([nan, 0.7, 0.79, 0.81, 0.9, 0.95]), st.integers(0, 7))
    frames = st.tuples(st.sampled_from(["P1", "P2"]), st.lists(cells, min_size=1, max_size=5), st.integers(0, 20))
    return [
        Record(
            f"m@{at // 15:012}",
            pack_id,
            [answer(cell, soh, at=at, flags=flags, rul_cycles=100 * soh) for cell, soh, flags in said],
            rare == 0,
        )
        for at, (pack_id, said, rare) in enumerate(draw(st.lists(frames, max_size=40)))
    ]


@dataclass
class Ticket:
    end: int
    alerts: list[Alert]
    rollups: dict[str, PackRollup | None]
    pages: Kept


class Member:
    """One process's part for one partition: what the pipeline does with what was said, without its loop."""

    def __init__(self, log: list[Record], kept: Kept, end: int) -> None:
        self.log, self.at = log, end
        self.outlook = Outlook(Partition("t", 0), RULE)
        restoration = Restoration(lambda: Cells(STEPS, LimitSettings(), idle_ttl_s=7200))
        restoration.read(kept)
        cells = restoration.finish(end, reset=False)
        restoration.seen(self.outlook)
        self.checkpoint = Checkpoint(cells, "state", 0, 1.0, restoration.lineage)
        self.checkpoint.stale = restoration.stale

    def feed(self, count: int, now_s: float = 0.0) -> Ticket:
        """Works off the next records, and of the packs that are gone by then what ends with them."""
        part = self.log[self.at : self.at + count]
        self.at += len(part)
        written = self.checkpoint.due(self.at, now_s)
        seen = self.outlook.settle(batches(part))
        rollups: dict[str, PackRollup | None] = {each.pack_id: each for each in seen.rollups}
        for ended in (record.pack_id for record in part[-1:] if record.gone):
            seen.alerts.extend(self.outlook.forget(ended) or ())
            rollups[ended] = None
        written += self.checkpoint.seen(self.outlook)
        return Ticket(self.at, seen.alerts, rollups, [(page.key or b"", page.value) for page in written])


def batches(part: list[Record]) -> list[Answers]:
    """Of two answers each: they end in the midst of a record, and where another model begins to answer."""
    pieces = []
    for model_id, group in groupby(part, key=lambda record: record.model_id):
        said = told(*((each.pack_id, row) for each in group for row in each.answers), model_id=model_id)
        pieces += [said.part(begin, begin + 2) for begin in range(0, len(said.packs), 2)]
    return pieces


def one_by_one(log: list[Record]) -> tuple[list[Alert], dict[str, PackRollup | None]]:
    member, alerts, rollups = Member(log, [], 0), [], {}
    for _ in log:
        ticket = member.feed(1)
        alerts += ticket.alerts
        rollups |= ticket.rollups
    return alerts, rollups


@settings(max_examples=200, deadline=None)
@given(log=logs(), turns=TURNS)
def test_any_sequence_of_batches_commits_crashes_and_compactions_sees_what_a_clean_run_does(log, turns):
    log = [record._replace(gone=False) for record in log]
    tickets = committed(turns, len(log), lambda kept, end: Member(log, kept, end))
    alerts = [alert for ticket in tickets for alert in ticket.alerts]
    rollups: dict[str, PackRollup | None] = {}
    for ticket in tickets:
        rollups |= ticket.rollups
    assert (alerts, rollups) == one_by_one(log)


@settings(max_examples=100, deadline=None)
@given(log=logs())
def test_of_a_pack_that_is_gone_no_roll_up_no_alert_and_no_page_is_left(log):
    member, kept, rollups, alerts = Member(log, [], 0), [], {}, []
    for _ in log:
        ticket = member.feed(1)
        kept += ticket.pages
        rollups |= ticket.rollups
        alerts += ticket.alerts
    left = {pack_id for pack_id, rollup in rollups.items() if rollup is not None}
    pages = {key.removeprefix(b"seen:").decode() for key, _ in compacted(kept) if key.startswith(b"seen:")}
    assert pages == set(member.outlook.packs)
    assert pages <= left
    stands = {(each.pack_id, each.cell, each.kind): each.raised for each in alerts}
    assert sum(stands.values()) == member.outlook.standing.sum()
    assert not any(raised and pack_id not in left for (pack_id, _, _), raised in stands.items())
    gone = {record.pack_id for record in log} - left
    assert all(rollups[pack_id] is None for pack_id in gone)
