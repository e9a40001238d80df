"""When an alert begins, and when it is over."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from model.block import MASKED_INPUT, OUT_OF_DISTRIBUTION
from stream.alarms import KINDS, Rule, judge, new_cells
from stream.records import AlertKind
from tests.answers import answer, of_pack

RULE = Rule(eol_soh=0.8, p_warranty=0.5, fade_soh=0.03, outlier_soh=0.03, patience=3)


def turns(sequence: list[np.ndarray], cells: np.ndarray | None = None) -> list[tuple[int, AlertKind, bool]]:
    """The index of the answer, the kind, and whether it begins."""
    events = judge(new_cells(np.arange(8, dtype=np.int32)) if cells is None else cells, of_pack(*sequence), RULE)
    return [(int(each["answer"]), KINDS[each["kind"]], bool(each["raised"])) for each in events]


def test_an_alert_begins_when_its_condition_held_in_so_many_predictions_in_a_row_and_ends_likewise():
    sohs = [0.81, 0.79, 0.79, 0.81, 0.79, 0.79, 0.79, 0.79, 0.81, 0.81, 0.79, 0.81, 0.81, 0.81, 0.81]
    found = turns([answer(soh=soh, at=at) for at, soh in enumerate(sohs)])
    assert found == [(6, AlertKind.END_OF_LIFE, True), (13, AlertKind.END_OF_LIFE, False)]


def test_where_one_answer_ends_and_the_next_begins_is_nothing_to_an_alert():
    sequence = [answer(soh=0.79 if at in (2, 3, 4, 5) else 0.81, at=at) for at in range(12)]
    cells, found = new_cells(np.zeros(1, np.int32)), []
    for at, each in enumerate(sequence):
        found += [(at, kind, raised) for _, kind, raised in turns([each], cells)]
    assert found == turns(sequence) != []


@pytest.mark.parametrize(
    ("flag", "kind"),
    [(MASKED_INPUT, AlertKind.SENSOR_FAULT), (OUT_OF_DISTRIBUTION, AlertKind.OUT_OF_DISTRIBUTION)],
)
def test_flags_raise_their_alert_even_where_no_value_is_said(flag, kind):
    assert turns([answer(soh=nan, at=at, flags=flag) for at in range(5)]) == [(2, kind, True)]


def test_a_prediction_without_a_value_leaves_the_alerts_that_need_one_as_they_are():
    sohs = [0.79, 0.79, nan, nan, nan, nan, 0.79, nan, 0.79]
    assert turns([answer(soh=soh, at=at) for at, soh in enumerate(sohs)]) == [(6, AlertKind.END_OF_LIFE, True)]


def test_a_warranty_alert_needs_no_soh():
    sequence = [answer(soh=nan, rul_cycles=300.0, p_warranty=0.6, at=at) for at in range(3)]
    assert turns(sequence) == [(2, AlertKind.WARRANTY, True)]


def test_a_fade_is_sudden_beside_the_cells_own_last_predictions_and_over_when_it_is_usual():
    sohs = [0.95] * 20 + [0.90] * 40
    found = turns([answer(soh=soh, at=at) for at, soh in enumerate(sohs)])
    assert found[0] == (22, AlertKind.SUDDEN_FADE, True)
    assert [each[1:] for each in found] == [(AlertKind.SUDDEN_FADE, True), (AlertKind.SUDDEN_FADE, False)]


def test_a_slow_fade_is_never_sudden():
    assert turns([answer(soh=1.0 - 0.0015 * at, at=at) for at in range(130)]) == []


def test_a_drop_that_the_model_is_unsure_of_by_as_much_is_not_sudden():
    sohs = [0.95] * 20 + [0.90] * 40
    assert turns([answer(soh=soh, at=at, half_width=0.06) for at, soh in enumerate(sohs)]) == []


def test_a_cell_far_below_its_pack_is_an_outlier_and_the_others_are_not():
    sequence = [answer(cell, 0.90 if cell == 5 else 0.95, at=at) for at in range(3) for cell in range(8)]
    assert turns(sequence) == [(2 * 8 + 5, AlertKind.OUTLIER, True)]


def test_a_cell_among_cells_that_differ_as_much_is_no_outlier():
    sequence = [answer(cell, 0.95 - 0.02 * cell, at=at) for at in range(5) for cell in range(8)]
    assert turns(sequence) == []


def test_of_three_cells_none_is_an_outlier():
    sequence = [answer(cell, 0.85 if cell == 2 else 0.95, at=at) for at in range(5) for cell in range(3)]
    assert turns(sequence) == []
