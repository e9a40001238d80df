from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest

from stream.board.fleet import Fleet
from stream.board.rate import Rate
from stream.records import AlertKind, Prediction
from tests.alerts import alert
from tests.hands import Hands
from tests.predictions import predict


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def fleet(clock: Hands) -> Fleet:
    return Fleet(clock)


def state(fleet: Fleet) -> dict[str, Any]:
    """All that a reader holds of the cells."""
    packs = msgspec.json.decode(msgspec.json.encode(fleet.snapshot(5, 5).packs))
    assert isinstance(packs, dict)
    return packs


def random_fleet(fleet: Fleet, seed: int, predictions: int) -> list[Prediction]:
    rng = random.Random(seed)
    made = []
    for step in range(predictions):
        soh = None if rng.random() < 0.1 else rng.uniform(0.7, 1.0)
        flags = ("masked_input",) if rng.random() < 0.1 else ()
        one = predict(f"P{rng.randrange(9)}", rng.randrange(40), step, soh, rng.uniform(0, 900), flags=flags)
        fleet.feed(one)
        made.append(one)
    return made


def test_snapshot_holds_the_newest_value_of_every_cell(fleet: Fleet) -> None:
    newest = {(one.pack_id, one.cell): one for one in random_fleet(fleet, 1, 2000)}
    packs = state(fleet)
    for (pack_id, cell), one in newest.items():
        assert packs[pack_id]["soh"][cell] == (None if one.soh is None else pytest.approx(one.soh.p50, abs=6e-5))
        rul = one.rul_cycles
        assert packs[pack_id]["rul_cycles"][cell] == (None if rul is None else pytest.approx(rul.p50, abs=0.06))
    assert fleet.summary().cells == len(newest)
    assert fleet.summary().packs == 9


def test_positions_without_a_prediction_are_unknown(fleet: Fleet) -> None:
    fleet.feed(predict(cell=3, soh=0.9))
    assert state(fleet)["P1"] == {
        "soh": [None, None, None, 0.9],
        "rul_cycles": [None, None, None, 400.0],
        "flags": [0] * 4,
    }


def test_a_snapshot_and_the_changes_after_it_give_the_later_snapshot(fleet: Fleet) -> None:
    random_fleet(fleet, 2, 300)
    fleet.forget_changes()
    held = state(fleet)
    random_fleet(fleet, 3, 700)
    previous = fleet.seq
    while True:
        seq, changes = fleet.take_changes(limit=50)
        assert seq == previous + 1
        previous = seq
        if not changes:
            break
        assert sum(map(len, changes.values())) <= 50
        for pack_id, cells in changes.items():
            pack = held.setdefault(pack_id, {"soh": [], "rul_cycles": [], "flags": []})
            for cell, soh, rul_cycles, flags in cells:
                while len(pack["soh"]) <= cell:
                    pack["soh"].append(None)
                    pack["rul_cycles"].append(None)
                    pack["flags"].append(0)
                pack["soh"][cell] = None if math.isnan(soh) else soh
                pack["rul_cycles"][cell] = None if math.isnan(rul_cycles) else rul_cycles
                pack["flags"][cell] = flags
    assert held == state(fleet)


def test_a_cell_that_changed_often_appears_once_with_its_newest_value(fleet: Fleet) -> None:
    for step in range(1, 6):
        fleet.feed(predict(step=step, soh=1.0 - 0.01 * step))
    _, changes = fleet.take_changes(100)
    assert changes == {"P1": [(0, 0.95, 400.0, 0)]}
    assert fleet.take_changes(100)[1] == {}


def test_a_repeated_or_older_prediction_changes_nothing(fleet: Fleet) -> None:
    for step in (1, 2, 3):
        fleet.feed(predict(step=step, soh=1.0 - 0.01 * step))
    before = msgspec.json.encode(fleet.cell("P1", 0))
    fleet.take_changes(10)
    fleet.feed(predict(step=3, soh=0.5))
    fleet.feed(predict(step=2, soh=0.5))
    assert msgspec.json.encode(fleet.cell("P1", 0)) == before
    assert fleet.take_changes(10)[1] == {}
    assert fleet.summary().predictions == 3
    assert fleet.summary().repeated == 2


def test_a_cell_that_begins_anew_forgets_its_past(fleet: Fleet) -> None:
    for step in (10, 11, 12):
        fleet.feed(predict(step=step))
    fleet.feed(predict(step=1, soh=0.99, t_ms=1_800_000_000_000))
    view = fleet.cell("P1", 0)
    assert view is not None
    assert view.curve.x == [1.0]
    assert view.prediction.step == 1


def test_cells_beyond_the_limit_are_counted_and_not_held(clock: Hands) -> None:
    fleet = Fleet(clock, max_cells=300)
    for cell in range(310):
        fleet.feed(predict(cell=cell))
    fleet.feed(predict("P2"))
    summary = fleet.summary()
    assert (summary.cells, summary.packs, summary.not_shown) == (300, 1, 11)
    assert fleet.cell("P1", 299) is not None
    assert fleet.cell("P1", 300) is None
    assert fleet.pack("P2") is None


def test_histogram_counts_every_cell_with_a_value_once(fleet: Fleet) -> None:
    for cell, soh in enumerate([0.90, 0.9049, 0.899, 1.2, 0.3, None]):
        fleet.feed(predict(cell=cell, soh=soh))
    histogram = fleet.histogram()
    assert sum(histogram.counts) == 5
    at = {round(histogram.low + place * histogram.width, 2): n for place, n in enumerate(histogram.counts) if n}
    assert at == {0.50: 1, 0.89: 1, 0.90: 2, 1.09: 1}


def test_a_value_on_an_edge_belongs_to_the_bin_that_begins_there(fleet: Fleet) -> None:
    for cell in range(60):
        fleet.feed(predict(cell=cell, soh=(50 + cell) / 100))
    assert fleet.histogram().counts == [1] * 60


def test_the_worst_cells_by_every_measure_are_among_the_weakest(fleet: Fleet) -> None:
    random_fleet(fleet, 5, 3000)
    rows = fleet.weakest(10)
    packs = state(fleet)
    cells = [(pack, cell) for pack, columns in packs.items() for cell in range(len(columns["soh"]))]
    for column in ("soh", "rul_cycles"):
        values = {(pack, cell): packs[pack][column][cell] for pack, cell in cells}
        worst = sorted((value, at) for at, value in values.items() if value is not None)[:10]
        assert {at for _, at in worst} <= {(row.pack_id, row.cell) for row in rows}
    assert len({(row.pack_id, row.cell) for row in rows}) == len(rows) <= 40
    soh = [row.soh[1] for row in rows if row.soh]
    assert soh == sorted(soh)


def test_summary_counts_cells_below_end_of_life_and_flags_that_ask_for_a_look(fleet: Fleet) -> None:
    fleet.feed(predict(cell=0, soh=0.79))
    fleet.feed(predict(cell=1, soh=0.81, flags=("out_of_distribution", "censored")))
    fleet.feed(predict(cell=2, soh=None))
    fleet.feed(predict(cell=3, soh=0.9, flags=("censored",)))
    summary = fleet.summary()
    assert summary.cells == 4
    assert summary.cells_with_soh == 3
    assert summary.cells_below_eol == 1
    assert summary.cells_flagged == 1
    assert summary.soh_median == pytest.approx(0.81)
    names = fleet.flag_names
    bits = state(fleet)["P1"]["flags"][1]
    assert {name for at, name in enumerate(names) if bits & (1 << at)} == {"out_of_distribution", "censored"}


def test_error_against_truth_is_the_mean_distance_of_the_median(clock: Hands) -> None:
    fleet = Fleet(clock, truth=lambda one: 0.94 if one.cell < 2 else None)
    for cell, soh in enumerate([0.945, 0.96, 0.5]):
        fleet.feed(predict(cell=cell, soh=soh))
    truth = fleet.summary().truth
    assert truth is not None
    assert truth.predictions == 2
    assert truth.mae == pytest.approx((0.005 + 0.02) / 2, abs=1e-5)
    assert truth.coverage_90 == 0.5
    view = fleet.cell("P1", 0)
    assert view is not None
    assert view.curve.truth == [0.94]


def test_pack_view_gives_the_spread_and_the_weakest_first(fleet: Fleet) -> None:
    for cell, soh in enumerate([0.95, 0.88, None, 0.91]):
        fleet.feed(predict(cell=cell, soh=soh))
    view = fleet.pack("P1")
    assert view is not None
    assert (view.cells, view.cells_with_soh) == (4, 3)
    assert (view.soh_min, view.soh_median, view.soh_max) == (0.88, 0.91, 0.95)
    assert view.soh_spread == pytest.approx(0.07)
    assert [row.cell for row in view.weakest] == [1, 3, 0, 2]


def test_a_cell_and_the_snapshot_tell_the_alerts_that_stand(fleet: Fleet) -> None:
    first, second = alert("P1", 0, step=1), alert("P1", 1, AlertKind.WARRANTY, 2)
    for cell in (0, 1):
        fleet.feed(predict(cell=cell))
    for told in (first, second):
        fleet.standing.feed(told)
    views = [fleet.cell("P1", cell) for cell in (0, 1)]
    assert [view.alerts for view in views if view] == [[first], [second]]
    shown = fleet.snapshot(weakest=5, alerts=1).alerts
    assert shown.standing == {AlertKind.OUTLIER: 1, AlertKind.WARRANTY: 1}
    assert shown.newest == [second]


def test_age_and_rate_follow_the_clock(fleet: Fleet, clock: Hands) -> None:
    assert fleet.summary().last_prediction_age_s is None
    for step in range(40):
        fleet.feed(predict(step=step))
        clock.now_s += 0.5
    clock.now_s += 2
    assert fleet.summary().last_prediction_age_s == 2.5
    clock.now_s += 60
    assert fleet.summary().predictions_per_s == 0


def test_rate_is_the_number_of_events_by_the_time_they_took() -> None:
    rate = Rate()
    assert rate.per_s(3.0) == 0
    for event in range(300):
        rate.count(100 + event / 10)
    assert rate.per_s(130.0) == pytest.approx(10, rel=0.02)


def test_sample_steps_are_told_from_cycles(fleet: Fleet) -> None:
    fleet.feed(predict(step=50, cycle=False))
    view = fleet.cell("P1", 0)
    assert view is not None
    assert (view.x, view.curve.x, fleet.summary().x) == ("step", [50.0], "step")
