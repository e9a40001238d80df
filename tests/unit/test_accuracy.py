"""The accuracy protocols keep what is tested away from what trains, and look only backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.accuracy.__main__ import main
from bench.accuracy.ablation import CASES, variants
from bench.accuracy.averaged import Averaged
from bench.accuracy.baseline import Line
from bench.accuracy.by_age import ByAge
from bench.accuracy.capacity_ahead import Ahead, capacity_steps
from bench.accuracy.catalogue import PROTOCOLS
from bench.accuracy.cell import Cell, Floats
from bench.accuracy.curves_ahead import beside
from bench.accuracy.document import placed
from bench.accuracy.early_life import life_steps
from bench.accuracy.ensemble import Learner, cross_fit
from bench.accuracy.folds import Fold, by_cell, held_out, leave_one_out
from bench.accuracy.gaussian import Gaussian
from bench.accuracy.interval import interval
from bench.accuracy.lstm import Lstm
from bench.accuracy.paced import Paced
from bench.accuracy.percycle import Life
from bench.accuracy.protocol import Goal, Protocol, Said, run
from bench.accuracy.ridge import Ridge
from bench.accuracy.same_cells import severson_names
from bench.accuracy.scores import score, score_baseline
from bench.accuracy.trees import Trees
from bench.accuracy.trend import reference, smoothed, trend_steps
from tests.protocol_cells import fading

SMALL = Lstm(window=3, hidden=8, updates=150)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def protocol(learners: tuple[object, ...] = (Ridge(), SMALL), inner: int = 3) -> Protocol:
    return Protocol(
        name="small",
        track="B",
        data="made up",
        cells=lambda _: [fading(index) for index in range(12)],
        split=by_cell(3),
        learners=learners,  # type: ignore[arg-type]
        goals=(Goal("soh", "mae", "1", bar=0.01),),
        inner=inner,
    )


def answers(said: list[Said]) -> dict[str, tuple[Floats, Floats, Floats]]:
    return {each.cell.cell_id: (each.point, each.low, each.high) for each in said}


@pytest.mark.parametrize(
    "learner", [Ridge(), Gaussian(), SMALL, Line(), Averaged(Trees(count=5), 2), ByAge(())], ids=lambda each: each.name
)
def test_no_label_of_a_tested_cell_reaches_what_is_said_of_it(learner: Learner) -> None:
    cells = [fading(index) for index in range(9)]
    small = protocol((learner,))
    tested = {"c4", "c8"}
    fixed = Protocol(
        **{name: getattr(small, name) for name in ("name", "track", "data", "cells", "learners", "goals", "inner")},
        split=held_out(lambda cell: cell.cell_id in tested),
    )
    changed = [
        cell.relabelled(np.random.default_rng(0).permutation(cell.truth) + 7.0) if cell.cell_id in tested else cell
        for cell in cells
    ]
    true, false = answers(run(fixed, cells, 3)), answers(run(fixed, changed, 3))
    assert set(true) == tested
    for name in tested:
        np.testing.assert_array_equal(np.stack(true[name]), np.stack(false[name]))


@dataclass(frozen=True, slots=True)
class Told:
    """A model that says a number of its own, and who taught it."""

    taught: frozenset[str]
    number: float

    def predict(self, cell: Cell) -> Floats:
        return np.full_like(cell.truth, self.number)


@dataclass(frozen=True, slots=True)
class Telling:
    """Its number is drawn from its seed."""

    name: str = "telling"

    def fit(self, cells: Sequence[Cell], seed: int) -> Told:
        return Told(frozenset(cell.cell_id for cell in cells), np.random.default_rng(seed).normal())


@pytest.mark.parametrize(("folds", "repeats"), [(3, 1), (3, 2), (4, 3), (7, 2)])
def test_of_a_training_cell_speaks_the_mean_of_the_models_that_have_not_seen_it(folds: int, repeats: int) -> None:
    cells = [fading(index) for index in range(7)]
    ensemble = cross_fit((Telling(),), cells, folds, 5, squared=(), repeats=repeats)
    (models,) = ensemble.models
    assert len({model.number for model in models}) == folds * repeats
    for cell, unseen in zip(cells, ensemble.unseen, strict=True):
        numbers = [model.number for model in models if cell.cell_id not in model.taught]
        assert len(numbers) == repeats
        np.testing.assert_allclose(unseen, np.mean(numbers))
    np.testing.assert_allclose(ensemble.predict(fading(9)), np.mean([model.number for model in models]))


def test_labels_of_training_cells_do_reach_it() -> None:
    cells = [fading(index) for index in range(9)]
    shifted = [cell.relabelled(cell.truth + 0.5) for cell in cells]
    said, moved = answers(run(protocol(), cells, 0)), answers(run(protocol(), shifted, 0))
    assert all((moved[name][0] - said[name][0] > 0.4).all() for name in said)


def test_scalers_see_training_cells_only() -> None:
    cells = [fading(index) for index in range(8)]
    far = fading(8)
    far = Cell(**{**{name: getattr(far, name) for name in Cell.__slots__}, "steps": far.steps * 1e6})
    split = held_out(lambda cell: cell.cell_id == "c8")
    (fold,) = split([*cells, far], 0)
    train = [[*cells, far][index] for index in fold.train]
    with_far = SMALL.fit(train, 0).predict(cells[0])
    without = SMALL.fit(cells, 0).predict(cells[0])
    np.testing.assert_array_equal(with_far, without)


def test_shuffled_training_labels_do_not_beat_the_baselines() -> None:
    cells = [fading(index) for index in range(12)]
    rng = np.random.default_rng(1)
    shuffled = rng.permutation(np.concatenate([cell.truth for cell in cells]))
    small = protocol()
    errors = []
    for fold in small.split(cells, 0):
        mixed = [
            cell.relabelled(shuffled[40 * index : 40 * index + 40]) if index in fold.train else cell
            for index, cell in enumerate(cells)
        ]
        fixed = Protocol(
            **{name: getattr(small, name) for name in ("name", "track", "data", "cells", "learners", "goals", "inner")},
            split=lambda _cells, _seed, fold=fold: [fold],  # type: ignore[misc]
        )
        said = run(fixed, mixed, 0)
        best = min(
            found.error for name in ("copy", "linear", "mean") if (found := score_baseline(small.goals[0], said, name))
        )
        errors.append((score(small.goals[0], said).error, best))
    ours, best = np.mean(errors, 0)
    assert ours > 0.95 * best
    honest = score(small.goals[0], run(small, cells, 0)).error
    assert honest < 0.5 * ours


def test_a_cell_never_trains_and_tests_at_once() -> None:
    with pytest.raises(ValueError, match="both"):
        Fold((0, 1), (1,))
    cells = [fading(index) for index in range(11)]
    for split in (by_cell(4), leave_one_out, held_out(lambda cell: cell.cell_id == "c3")):
        for fold in split(cells, 5):
            assert sorted(fold.train + fold.test) == list(range(11))


def test_folds_spread_groups_evenly_and_test_each_cell_once() -> None:
    cells = [fading(index) for index in range(12)]
    folds = by_cell(3)(cells, 2)
    assert sorted(index for fold in folds for index in fold.test) == list(range(12))
    assert all(sum(cells[index].group == "odd" for index in fold.test) == 2 for fold in folds)


@pytest.mark.parametrize("cut", [1, 9, 10, 57, 149])
def test_a_prefix_of_the_cycles_gives_a_prefix_of_the_features(cut: int) -> None:
    rng = np.random.default_rng(0)
    statistics = rng.normal(size=(150, 16)).cumsum(0)
    statistics[rng.random((150, 16)) < 0.1] = np.nan
    soh = 1.1 - 0.001 * np.arange(150) + rng.normal(0, 0.001, 150)
    np.testing.assert_array_equal(trend_steps(statistics[:cut]), trend_steps(statistics)[:cut])
    np.testing.assert_array_equal(capacity_steps(soh[:cut], statistics[:cut]), capacity_steps(soh, statistics)[:cut])
    curves = rng.normal(size=(150, 200)).cumsum(1)
    np.testing.assert_array_equal(life_steps(curves[:cut], soh[:cut]), life_steps(curves, soh)[:cut])


def test_a_forecast_does_not_know_what_comes_after_the_known_cycles() -> None:
    rng = np.random.default_rng(0)
    soh, statistics = 1.1 - 0.001 * np.arange(200), rng.normal(size=(200, 16))
    ahead = Ahead(known=100, wanted=150, first=0.5, last=1.2)
    other = soh.copy()
    other[100:] *= 0.5
    one, two = (ahead.cell(Life("a", "g", statistics, np.arange(1, 201), values)).exam() for values in (soh, other))
    assert one.at.tolist() == [99]
    assert one.truth[0, 0] == soh[149]
    assert two.truth[0, 0] == other[149]
    model = Ridge().fit([fading_ahead(ahead, index) for index in range(6)], 0)
    np.testing.assert_array_equal(model.predict(one), model.predict(two))
    np.testing.assert_array_equal(one.drawn, two.drawn)


def test_curves_are_seen_from_their_own_cycle_on_and_not_before() -> None:
    cell, shown = fading(0, rows=120), np.arange(2.0, 101.0)[:, None]  # each row says its cycle
    seen = beside(cell, shown).steps[:, -1]
    np.testing.assert_array_equal(seen[1:99], np.arange(2, 100))
    assert np.isnan(seen[0])
    assert (seen[99:] == 100).all()


def test_a_life_at_another_pace_shows_the_same_in_as_many_times_the_cycles() -> None:
    life = Life("a", "g", np.arange(300.0)[:, None] * np.ones(16), np.arange(1, 301), np.linspace(1.1, 0.8, 300))
    slow = life.stretched(1.5)
    assert slow.cycle.tolist() == list(range(1, 451))
    np.testing.assert_allclose(slow.soh, np.linspace(1.1, 0.8, 450), atol=1e-3)
    np.testing.assert_allclose(slow.statistics[:, 3], np.linspace(0, 299, 450), atol=0.51)
    np.testing.assert_array_equal(life.stretched(1.0).soh, life.soh)


def test_copies_teach_and_are_never_asked_about() -> None:
    cells = [fading(index) for index in range(12)]
    copied = [replace(cell, copies=(fading(100 + index),)) for index, cell in enumerate(cells)]
    taught = Paced(Ridge()).fit(copied, 0).predict(cells[0])
    expected = Ridge().fit([*cells, *(fading(100 + index) for index in range(12))], 0).predict(cells[0])
    np.testing.assert_array_equal(taught, expected)
    np.testing.assert_array_equal(Ridge().fit(copied, 0).predict(cells[0]), Ridge().fit(cells, 0).predict(cells[0]))
    mixed = protocol((Paced(Ridge()),))
    assert len(run(mixed, copied, 0)) == len(cells)
    others = [replace(cell, copies=(fading(200),)) if index == 3 else cell for index, cell in enumerate(copied)]
    (fold,) = (fold for fold in mixed.split(cells, 0) if 3 in fold.test)
    alone = replace(mixed, split=lambda _cells, _seed: [fold])
    one, two = answers(run(alone, copied, 0)), answers(run(alone, others, 0))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_cells_named_twice_are_named_as_the_authors_count_them() -> None:
    names = severson_names()
    assert (len(names), len(set(names.values()))) == (84, 84)
    assert names["2017-05-12_battery-1"] == "sev_test1_01"
    assert names["2017-05-12_battery-2"] == "sev_train_01"
    assert names["2017-06-30_battery-46"] == "sev_train_41"
    assert names["2017-06-30_battery-48"] == "sev_test1_43"


def fading_ahead(ahead: Ahead, index: int) -> Cell:
    rng = np.random.default_rng(index)
    soh = 1.1 - rng.uniform(0.0005, 0.002) * np.arange(200)
    return ahead.cell(Life(f"c{index}", "g", rng.normal(size=(200, 16)), np.arange(1, 201), soh))


def test_reference_is_the_mean_of_the_first_cycles_as_far_as_they_are_over() -> None:
    values = np.array([[1.0], [3.0], [np.nan], [8.0], [100.0]])
    np.testing.assert_allclose(reference(values, cycles=4)[:, 0], [1, 2, 2, 4, 4])


def test_smoothing_starts_as_a_mean_and_skips_what_is_missing() -> None:
    values = np.array([[2.0], [4.0], [np.nan], [9.0]])
    np.testing.assert_allclose(smoothed(values, cycles=3.0)[:, 0], [2, 3, 3, 5])


def test_intervals_hold_nine_of_ten_truths_of_cells_to_come() -> None:
    cells = [fading(index) for index in range(40)]
    train, test = cells[:20], cells[20:]
    ensemble = cross_fit((Ridge(),), train, 4, 0, squared=())
    found = interval(train, ensemble.unseen, 0, 0, "learned")
    assert not found.guess
    said = [ensemble.predict(cell)[:, 0] for cell in test]
    inside = [
        np.abs(each - cell.truth[:, 0]) <= found.half_width(cell, each) for cell, each in zip(test, said, strict=True)
    ]
    assert 0.8 < np.mean(inside) < 0.98


def test_intervals_in_proportion_are_conformal_in_the_relative_error() -> None:
    cells = [fading(index, rows=4) for index in range(9)]
    unseen = [cell.truth * (1 + 0.01 * (index + 1)) for index, cell in enumerate(cells)]
    found = interval(cells, unseen, 0, 0, "in proportion")
    half = found.half_width(cells[0], np.array([1.0, 2.0, 4.0, 8.0]))
    np.testing.assert_allclose(half / half[0], [1, 2, 4, 8], rtol=1e-5)
    assert half[0] == pytest.approx(0.09 / 1.09, rel=1e-3)  # the largest of nine: all of them are needed for 90 %


def test_too_few_cells_make_the_interval_a_guess() -> None:
    train = [fading(index) for index in range(5)]
    ensemble = cross_fit((Ridge(),), train, 5, 0, squared=())
    assert interval(train, ensemble.unseen, 0, 0, "even").guess


def test_a_run_repeats_itself() -> None:
    cells = [fading(index) for index in range(6)]
    one, two = (answers(run(protocol(inner=2), cells, 4)) for _ in range(2))
    for name in one:
        np.testing.assert_array_equal(np.stack(one[name]), np.stack(two[name]))


def test_absent_data_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CYCLECAST_DATA", str(tmp_path / "nowhere"))
    assert main(["--out", str(tmp_path)]) == 1
    assert "CYCLECAST_DATA" in capsys.readouterr().err


def test_every_name_in_the_catalogue_is_one_row_of_its_own() -> None:
    names = [each.name for each in PROTOCOLS.values()]
    assert len(set(names)) == len(names)


def test_a_table_replaces_what_stood_between_its_marks_and_nothing_else() -> None:
    page = "before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n"
    once = placed(page, "results", r"| new \1 |")
    assert once == "before\n<!-- results -->\n| new \\1 |\n\n<!-- end of results -->\nafter\n"
    assert placed(once, "results", r"| new \1 |") == once
    with pytest.raises(ValueError, match="transfer"):
        placed(page, "transfer", "x")


def test_each_variant_of_the_ablation_differs_from_the_network_it_is_held_against() -> None:
    for name in CASES:
        found = variants(PROTOCOLS[name])
        assert len(set(found.values())) == len(found)


def test_what_a_learner_says_alone_is_what_its_share_is_of() -> None:
    for each in run(protocol(), [fading(index) for index in range(9)], 0):
        both = np.stack(list(each.alone.values()))
        assert list(each.alone) == ["ridge", "lstm"]
        assert (both.min(0) - 1e-12 <= each.point).all()
        assert (each.point <= both.max(0) + 1e-12).all()
