"""Which prediction a measured capacity is held against, and what becomes of those that meet none."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from model.adaptive import REACH
from stream.packs import Packs
from stream.records import Prediction
from stream.score import Fate, Score
from stream.truths import WHOLE_PACK, Measured, Truth
from tests.predictions import predict
from tests.telemetry import block

NOMINAL_AH = 5.0


class Told:
    """A score, and what it told."""

    def __init__(self, *, adapts: bool = False, max_cells: int = 100) -> None:
        self.fates: Counter[Fate] = Counter()
        self.scores: list[tuple[float, bool]] = []
        self.score = Score(
            adapts=adapts,
            max_cells=max_cells,
            tell=lambda fate: self.fates.update([fate]),
            scored=lambda error, inside: self.scores.append((error, inside)),
        )

    def of(self, *events: Prediction | Truth) -> list[Prediction]:
        predictions = [each for each in events if isinstance(each, Prediction)]
        truths = []
        for at, each in enumerate(events):
            if isinstance(each, Truth):
                truths.append((sum(isinstance(former, Prediction) for former in events[:at]), each))
        return self.score.settle(predictions, truths)


def truth(cycle: int, soh: float, cell: int = 0, pack_id: str = "P1") -> Truth:
    return Truth(pack_id, cell, cycle, soh * NOMINAL_AH)


def test_capacity_told_within_a_cycle_scores_the_prediction_that_follows_its_end():
    told = Told()
    told.of(truth(1, 0.97), predict(step=1, soh=0.95), truth(2, 0.945), predict(step=2, soh=0.94))
    assert told.fates == {Fate.SCORED: 2}
    assert told.scores == [(pytest.approx(0.02), False), (pytest.approx(0.005), True)]


def test_capacity_told_after_predictions_of_its_cycle_scores_the_newest_of_them():
    told = Told()
    told.of(truth(0, 0.99), predict(step=1, soh=0.5), predict(step=1, soh=0.95), truth(1, 0.96), predict(step=2))
    assert told.fates == {Fate.UNMATCHED: 1, Fate.SCORED: 1}
    assert told.scores == [(pytest.approx(0.01), True)]


def test_capacity_without_a_cycle_number_scores_the_next_prediction_whatever_its_number():
    told = Told()
    told.of(predict(step=4), truth(-1, 0.93), predict(step=5, soh=0.92), predict(step=6, cycle=False))
    assert told.scores == [(pytest.approx(0.01), True)]
    told.of(truth(-1, 0.93), predict(step=7, soh=0.95, cycle=False))
    assert told.fates == {Fate.SCORED: 2}


def test_no_capacity_is_scored_twice_or_lost_without_a_count():
    told = Told()
    told.of(truth(1, 0.95), truth(1, 0.95), predict(step=1), truth(1, 0.95))
    assert told.fates == {Fate.REPEATED: 2, Fate.SCORED: 1}
    told.of(truth(2, 0.95), truth(1, 0.9), predict(step=2), truth(1, 0.9), predict(step=3))
    assert told.fates == {Fate.REPEATED: 3, Fate.SCORED: 2, Fate.UNMATCHED: 1}
    told.of(truth(4, 0.95), predict(step=4, soh=None), truth(5, 0.95), truth(6, 0.95), predict(step=6))
    assert told.fates == {Fate.REPEATED: 3, Fate.SCORED: 3, Fate.UNMATCHED: 3}
    told.of(truth(8, 0.95), truth(7, 0.95), truth(8, 0.9, WHOLE_PACK))
    assert told.fates == {Fate.REPEATED: 3, Fate.SCORED: 3, Fate.UNMATCHED: 4, Fate.PACK: 1}
    assert told.score.waiting == 1
    assert told.fates.total() + told.score.waiting == 3 + 3 + 3 + 3


def test_all_cells_have_the_width_that_a_few_taught_and_of_those_alone_something_is_kept():
    told = Told(adapts=True)
    before, _, after = told.of(
        predict("P9"), truth(1, 0.5, cell=3), predict("P1", 3, step=1, soh=0.9), predict("P9", step=2)
    )
    assert before == predict("P9")
    assert before.soh is not None
    assert after.soh is not None
    assert after.soh.p05 < before.soh.p05
    assert list(told.score.followed) == [("P1", 3)]
    assert told.fates == {Fate.SCORED: 1}


def test_cells_not_heard_of_for_longest_are_given_up_beyond_the_limit():
    told = Told(adapts=True, max_cells=2)
    told.of(truth(1, 0.9, 0), truth(1, 0.9, 1), predict(cell=0, step=1), truth(1, 0.9, 2))
    assert list(told.score.followed) == [("P1", 0), ("P1", 2)]
    assert told.fates == {Fate.SCORED: 1, Fate.UNMATCHED: 1}
    assert told.score.waiting == 1
    assert set(told.score.take_changes()) == {("P1", 0), ("P1", 1), ("P1", 2)}


def test_misses_widen_the_intervals_of_soh_and_capacity_that_follow_and_nothing_else():
    told = Told(adapts=True)
    first, second = told.of(truth(1, 0.8), predict(step=1), truth(2, 0.8), predict(step=2))
    given = predict(step=2)
    assert first.soh == predict(step=1).soh, "an interval never knows its own truth"
    factor = told.score.width.factor
    assert second.soh is not None
    assert second.capacity_ah is not None
    assert 0.01 < 0.95 - second.soh.p05 < 0.01 * factor
    assert second.capacity_ah.p95 - 4.75 == pytest.approx(5 * (second.soh.p95 - 0.95), abs=1e-5)
    assert (second.soh.p50, second.horizons, second.rul_cycles) == (0.95, given.horizons, given.rul_cycles)
    assert told.scores == [(pytest.approx(0.15), False)] * 2


def test_what_does_not_adapt_leaves_predictions_untouched():
    told = Told()
    given = [predict(step=step) for step in (1, 2)]
    found = told.of(truth(1, 0.1), given[0], truth(2, 0.1), given[1])
    assert all(mine is theirs for mine, theirs in zip(found, given, strict=True))
    assert told.score.take_changes() == []


def test_intervals_never_leave_their_reach():
    told = Told(adapts=True)
    for step in range(1, 300):
        told.of(truth(step, 0.01), predict(step=step))
    assert REACH <= told.score.width.factor < 1.2 * REACH
    for step in range(300, 9000):
        told.of(truth(step, 0.95), predict(step=step))
    assert 1 / (1.2 * REACH) < told.score.width.factor < 1 / REACH * 1.2


def test_truths_of_a_block_come_after_what_their_frame_made_due():
    class Owners(Packs):
        def __init__(self) -> None: ...

        def owners(self, slots: np.ndarray) -> list[tuple[str, int]]:
            return [(f"P{slot}", 0) for slot in slots.tolist()]

    frames = block(range(6), [1.0] * 6, [[3.3]] * 6, cycle=[0, 0, 1, 1, 2, 2], first_slot=4)
    frames.capacity_ah[[1, 2, 4]] = 2.0, 1.9, 1.8
    frames.cells[4] = 2
    measured = Measured(frames, Owners())
    assert measured.before(2, np.array([0, 0, 1])) == [(3, Truth("P4", 0, 0, 2.0))]
    rest = measured.before(6, np.array([2, 4, 5]))
    assert [(after, each.cell, each.cycle) for after, each in rest] == [(1, 0, 1), (2, WHOLE_PACK, 2)]
    assert measured.before(6, np.array([5])) == []
