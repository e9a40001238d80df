"""How well a partition's cells are predicted: each measured capacity against the prediction that stands for it.

A capacity is that of its record's cycle, and is held against the cell's newest prediction for that cycle, or waits for
it: so a backtest scores too. One whose record has no cycle number waits for the cell's next prediction, whose step it
was measured in. A cell is followed from its first measured capacity on; of all others nothing is kept, and where no
capacities come nothing happens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import msgspec

from model.adaptive import Bounds, Width, missed, widened
from stream.records import Interval, Prediction
from stream.truths import WHOLE_PACK, Truth

Cell = tuple[str, int]


class Fate(StrEnum):
    """What becomes of a measured capacity."""

    SCORED = "scored"
    REPEATED = "repeated"
    UNMATCHED = "unmatched"
    PACK = "pack"


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the model said of a cell's cycle, in Ah, by which factor it was widened, and the median as SOH."""

    bounds: Bounds
    factor: float
    soh: float


class Followed(msgspec.Struct, array_like=True):
    """What is known of a cell that truths come from.

    ``touched`` orders cells by when they were last heard of. ``cycle`` and ``answer`` are the newest prediction's, -1
    and none where it has no number or no value. ``scored`` is the newest cycle with a score. ``waiting`` is a cycle
    (-1: whichever comes next) and the capacity measured in it.
    """

    touched: int = 0
    cycle: int = -1
    answer: Answer | None = None
    scored: int = -1
    waiting: tuple[int, float] | None = None


class Score:
    """Follows the cells of one partition through predictions and truths, in the order of the input, and nothing else.

    With ``adapts``, intervals of SOH and capacity, of all its cells, leave here as wide as former truths made them.
    At most ``max_cells`` are followed; beyond that, those not heard of for longest are given up. ``tell`` hears of each
    truth's fate, and ``scored`` of the absolute error of SOH and whether the published interval held the truth.
    """

    def __init__(
        self, *, adapts: bool, max_cells: int, tell: Callable[[Fate], None], scored: Callable[[float, bool], None]
    ) -> None:
        self.adapts = adapts
        self.max_cells = max_cells
        self.width = Width()
        self.followed: OrderedDict[Cell, Followed] = OrderedDict()
        self.waiting = 0
        self.events = 0
        self._changed: dict[Cell, None] = {}
        self._tell = tell
        self._scored = scored

    def settle(self, predictions: Sequence[Prediction], truths: Iterable[tuple[int, Truth]]) -> list[Prediction]:
        """Takes predictions, and truths with how many of them each comes after; the predictions to be published."""
        published: list[Prediction] = []
        for after, truth in truths:
            published += self._predicted(predictions[len(published) : after])
            self._measured(truth)
        return published + self._predicted(predictions[len(published) :])

    def restore(self, width: Width, followed: dict[Cell, Followed]) -> None:
        """Goes on from what was kept."""
        self.width = width
        self.followed = OrderedDict(sorted(followed.items(), key=lambda item: item[1].touched))
        self.waiting = sum(cell.waiting is not None for cell in followed.values())
        self.events = max((cell.touched for cell in followed.values()), default=0)

    def take_changes(self) -> list[Cell]:
        """The cells whose part changed since this was last called; those that are no longer followed among them.

        None where nothing adapts: what was learned is then in nothing that is published.
        """
        changed, self._changed = self._changed, {}
        return list(changed)

    def _predicted(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        if not self.followed:
            return list(predictions)
        return [self._answered(each) for each in predictions]

    def _answered(self, told: Prediction) -> Prediction:
        name, factor = (told.pack_id, told.cell), self.width.factor
        published = _widened(told, factor) if self.adapts else told
        cell = self.followed.get(name)
        if cell is None:
            return published
        self._touch(name, cell)
        cell.cycle, cell.answer = -1 if told.cycle is None else told.cycle, None
        if told.soh is not None and told.capacity_ah is not None:
            cell.answer = Answer(_bounds(told.capacity_ah), factor, told.soh.p50)
        if cell.waiting is not None:
            (cycle, measured_ah), cell.waiting = cell.waiting, None
            self.waiting -= 1
            if cell.answer is not None and cycle in (-1, cell.cycle):
                self._compare(cell, cell.answer, measured_ah)
            else:
                self._tell(Fate.UNMATCHED)
        return published

    def _measured(self, truth: Truth) -> None:
        if truth.cell == WHOLE_PACK:
            self._tell(Fate.PACK)
            return
        name = truth.pack_id, truth.cell
        cell = self.followed.get(name)
        if cell is None:
            cell = self.followed[name] = Followed()
        self._touch(name, cell)
        if truth.cycle >= 0 and truth.cycle == cell.scored:
            self._tell(Fate.REPEATED)
        elif truth.cycle >= 0 and truth.cycle == cell.cycle and cell.answer is not None:
            self._compare(cell, cell.answer, truth.capacity_ah)
        elif cell.waiting is not None and 0 <= truth.cycle < cell.waiting[0]:
            self._tell(Fate.UNMATCHED)  # a record that comes late
        else:
            if cell.waiting is not None:
                self._tell(Fate.REPEATED if cell.waiting[0] == truth.cycle else Fate.UNMATCHED)
            self.waiting += cell.waiting is None
            cell.waiting = truth.cycle, truth.capacity_ah
        if len(self.followed) > self.max_cells:
            gone, given_up = self.followed.popitem(last=False)
            self._change(gone)
            if given_up.waiting is not None:
                self.waiting -= 1
                self._tell(Fate.UNMATCHED)

    def _compare(self, cell: Followed, answer: Answer, measured_ah: float) -> None:
        cell.scored = cell.cycle
        bounds = answer.bounds
        published = _interval(Interval(*bounds), answer.factor) if self.adapts else Interval(*bounds)
        error = abs(measured_ah / bounds.p50 - 1) * answer.soh if bounds.p50 > 0 else 1.0
        if self.adapts:
            self.width = self.width.learned(missed=missed(bounds, answer.factor, measured_ah))
        self._tell(Fate.SCORED)
        self._scored(error, published.p05 <= measured_ah <= published.p95)

    def _touch(self, name: Cell, cell: Followed) -> None:
        self.events += 1
        cell.touched = self.events
        self.followed.move_to_end(name)
        self._change(name)

    def _change(self, name: Cell) -> None:
        if self.adapts:
            self._changed[name] = None


def _widened(told: Prediction, factor: float) -> Prediction:
    if told.soh is None or told.capacity_ah is None:
        return told
    soh, capacity_ah = _interval(told.soh, factor), _interval(told.capacity_ah, factor)
    return msgspec.structs.replace(told, soh=soh, capacity_ah=capacity_ah)


def _bounds(interval: Interval) -> Bounds:
    return Bounds(interval.p05, interval.p50, interval.p95)


def _interval(interval: Interval, factor: float) -> Interval:
    """Widened, and rounded as all that is published."""
    low, median, high = widened(_bounds(interval), factor)
    return Interval(round(low, 6), median, round(high, 6))
