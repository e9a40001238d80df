"""How the alerts of a backtest stand to the truth."""

from __future__ import annotations

from dataclasses import replace

from model.schema import CycleSteps
from replay.alert_scoring import alert_metrics
from stream.records import Alert, AlertKind, Origin
from tests.fading import fading_cell
from tests.small_model import manifest_of

MANIFEST = manifest_of(CycleSteps())
END = AlertKind.END_OF_LIFE


def alert(pack_id: str, cell: int, cycle: int | None, kind: AlertKind = END, *, raised: bool = True) -> Alert:
    return Alert(1, pack_id, cell, kind, raised, 0, 1, "because", "m", Origin("t", 0, 0), cycle)


def test_alerts_of_the_end_of_life_are_held_against_the_cycle_it_was_reached_in():
    pack = fading_cell("pack", fade=0.003, cycles=70, cells=3)  # at cycles 67, 61 and 56
    alerts = [
        alert("pack", 1, 65),
        alert("pack", 1, 68, raised=False),
        alert("pack", 1, 69),
        alert("pack", 2, 50),
        alert("young", 0, 10),
        alert("unmeasured", 0, 5),
    ]
    young, unmeasured = fading_cell("young", cycles=20), replace(fading_cell("unmeasured"), truth=None)
    found = alert_metrics(alerts, [pack, young, unmeasured], MANIFEST)
    ends = {"past": 2, "told": 2, "early": 1, "delay_cycles": [-6.0, -1.0, 4.0]}
    assert found == {"end_of_life": {"raised": 5, "cells": 4, "over": 1, **ends}}


def test_cells_past_their_end_of_life_that_nobody_was_told_of_are_counted():
    found = alert_metrics([], [fading_cell("cell", cycles=70)], MANIFEST)
    ends = {"past": 1, "told": 0, "early": 0, "delay_cycles": None}
    assert found == {"end_of_life": {"raised": 0, "cells": 0, "over": 0, **ends}}


def test_without_measured_capacities_alerts_are_counted_and_nothing_is_said_of_the_truth():
    unmeasured = replace(fading_cell("cell"), truth=None)
    alerts = [
        alert("cell", 0, None),
        alert("cell", 0, 3, AlertKind.OUTLIER),
        alert("cell", 0, 9, AlertKind.OUTLIER, raised=False),
    ]
    assert alert_metrics(alerts, [unmeasured], MANIFEST) == {
        "end_of_life": {"raised": 1, "cells": 1, "over": 0},
        "outlier": {"raised": 1, "cells": 1, "over": 1},
    }
