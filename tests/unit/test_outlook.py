"""What a roll-up says of a pack, what an alert says, and what is forgotten."""

from __future__ import annotations

from math import nan

import pytest

from stream.alarms import KINDS, Rule
from stream.outlook import Outlook
from stream.records import AlertKind, Interval, Origin, RemainingLife
from stream.rollup import WEAKEST
from stream.seams import Partition
from tests.answers import MODEL, answer, told

RULE = Rule(eol_soh=0.8, p_warranty=0.5, fade_soh=0.03, outlier_soh=0.03, patience=2)


def outlook() -> Outlook:
    return Outlook(Partition("bms.telemetry", 3), RULE)


def test_a_pack_is_as_good_as_its_weakest_cell_at_each_quantile():
    (rollup,) = (
        outlook()
        .settle(
            [
                told(
                    ("P1", answer(0, 0.95, at=7, rul_cycles=500.0, p_warranty=0.1)),
                    ("P1", answer(1, 0.93, at=7, rul_cycles=300.0, p_warranty=0.4, half_width=0.1)),
                    ("P1", answer(2, 0.91, at=7, rul_cycles=400.0, p_warranty=0.2)),
                    ("P1", answer(4, nan, at=7)),
                )
            ]
        )
        .rollups
    )
    assert (rollup.pack_id, rollup.t_ms, rollup.cycle, rollup.model) == ("P1", 7000, 7, MODEL)
    assert (rollup.cells, rollup.answered) == (4, 3)
    assert rollup.soh == Interval(0.83, 0.91, 0.915)
    assert rollup.rul_cycles == RemainingLife(270.0, 300.0, 330.0, 0.8)
    assert (rollup.p_warranty, rollup.soh_median, rollup.soh_spread) == (0.4, 0.93, 0.04)
    assert rollup.source == Origin("bms.telemetry", 3, 7)
    assert [(each.cell, each.soh.p50, each.rul_cycles and each.rul_cycles.p50) for each in rollup.weakest] == [
        (2, 0.91, 400.0),
        (1, 0.93, 300.0),
        (0, 0.95, 500.0),
    ]


def test_of_a_pack_that_nothing_is_said_of_a_roll_up_says_so():
    (rollup,) = outlook().settle([told(("P1", answer(0, nan)), ("P1", answer(1, nan)))]).rollups
    assert (rollup.cells, rollup.answered, rollup.weakest, rollup.alerts) == (2, 0, [], {})
    assert rollup.soh is rollup.soh_median is rollup.soh_spread is rollup.rul_cycles is rollup.p_warranty is None


def test_a_roll_up_remembers_the_cells_that_are_not_spoken_of_again():
    seen = outlook()
    seen.settle([told(*(("P1", answer(cell, 0.9 - 0.01 * cell)) for cell in range(8)))])
    (rollup,) = seen.settle([told(("P1", answer(0, 0.89, at=1)))]).rollups
    assert (rollup.cells, rollup.answered) == (8, 8)
    assert rollup.soh is not None
    assert rollup.soh.p50 == 0.83
    assert [each.cell for each in rollup.weakest] == [7, 6, 5, 4, 3]
    assert len(rollup.weakest) == WEAKEST


def test_an_alert_names_its_cell_and_says_what_was_compared_and_stands_in_the_roll_up():
    seen = outlook()
    assert seen.settle([told(("P1", answer(2, 0.79, at=8)))]).alerts == []
    found = seen.settle([told(("P1", answer(2, 0.78, at=9)))])
    (alert,) = found.alerts
    assert (alert.pack_id, alert.cell, alert.kind, alert.raised) == ("P1", 2, AlertKind.END_OF_LIFE, True)
    assert (alert.t_ms, alert.step, alert.cycle, alert.model) == (9000, 10, 9, MODEL)
    assert (alert.value, alert.limit) == (0.78, 0.8)
    assert alert.reason == "SOH 0.7800 is below the end of life, 0.8"
    assert alert.source == Origin("bms.telemetry", 3, 9)
    assert found.rollups[0].alerts == {AlertKind.END_OF_LIFE: 1}
    assert found.rollups[0].weakest[0].alerts == [AlertKind.END_OF_LIFE]
    over = seen.settle([told(("P1", answer(2, 0.82, at=10)), ("P1", answer(2, 0.82, at=11)))])
    assert [(each.kind, each.raised, each.step) for each in over.alerts] == [(AlertKind.END_OF_LIFE, False, 12)]
    assert over.rollups[0].alerts == {}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_alert_is_told_in_words_and_counted_while_it_stands(kind):
    seen = outlook()
    worse = {
        AlertKind.END_OF_LIFE: {"soh": 0.75},
        AlertKind.WARRANTY: {"rul_cycles": 10.0, "p_warranty": 0.9},
        AlertKind.SUDDEN_FADE: {"soh": 0.88},
        AlertKind.OUTLIER: {"soh": 0.45},
        AlertKind.SENSOR_FAULT: {"flags": 2},
        AlertKind.OUT_OF_DISTRIBUTION: {"flags": 4},
    }[kind]
    usual = [("P1", answer(cell)) for cell in range(5)]
    found = seen.settle([told(*usual, *(("P1", answer(0, at=at, **worse)) for at in (1, 2)))])
    assert kind in {each.kind for each in found.alerts}
    assert all(each.reason for each in found.alerts)
    assert seen.standing[KINDS.index(kind)] == 1
    over = seen.forget("P1")
    assert over is not None
    assert {each.kind for each in over} == {each.kind for each in found.alerts}
    assert not any(each.raised for each in over)
    assert not seen.standing.any()
    assert seen.forget("P1") is None


def test_a_newer_model_begins_what_is_usual_anew_and_nothing_else():
    seen = outlook()
    seen.settle([told(*(("P1", answer(0, 0.95, at=at)) for at in range(9)))])
    newer = [told(*(("P1", answer(0, 0.90, at=9 + at)) for at in range(9)), model_id="newer@000000000000")]
    assert seen.settle(newer).alerts == []
    assert seen.settle([told(("P1", answer(0, 0.79, at=20)), ("P1", answer(0, 0.79, at=21)))]).alerts


def test_intervals_of_soh_are_as_wide_as_those_that_are_published():
    (rollup,) = outlook().settle([told(("P1", answer(0, 0.95, rul_cycles=500.0)))], factor=2.0).rollups
    assert rollup.soh == rollup.weakest[0].soh == Interval(0.94, 0.95, 0.96)
    assert rollup.rul_cycles == RemainingLife(450.0, 500.0, 550.0, 0.8)


def test_a_cell_takes_no_more_room_for_a_large_number_and_keeps_its_own_when_others_come():
    seen = outlook()
    for at, cell in enumerate((1023, 7, 500, 7)):
        seen.settle([told(("P1", answer(cell, cell / 1100, at=at)))])
    cells = seen.packs["P1"].cells
    assert cells["number"].tolist() == [7, 500, 1023]
    assert cells["soh"][:, 1].tolist() == pytest.approx([7 / 1100, 500 / 1100, 1023 / 1100])


def test_what_is_kept_in_another_form_is_begun_anew():
    seen = outlook()
    seen.settle([told(("P1", answer(0)))])
    ((_, kept),) = seen.take_changes()
    assert kept is not None
    other = outlook()
    other.restore({"P1": type(kept)("another", kept.model_id, b"?", b"?")})
    assert not other.packs
    other.restore({"P1": kept})
    assert list(other.packs) == ["P1"]
