"""Trajectory similarity (Wang et al. 2008, doi 10.1109/PHM.2008.4711421): how the fades of other cells went on that,
stretched in time and in loss, look like a cell's own past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bench.accuracy.cell import Cell, Floats, Ints
from bench.accuracy.scale import Scale

CLIP = 5.0
FIRST, POINTS = 0.2, 20  # of the past that is compared: what a cell gains at first says little of its fade
PACES = np.geomspace(0.55, 1.8, 25)
TAIL, REACH = 10, 1.1  # a record that ended goes on with the slope of its last cycles, for a tenth of its length
SMALLEST = 0.05  # times another's loss


@dataclass(frozen=True, slots=True)
class Likeness:
    """How far apart two fades may be: in capacity, over the whole past; in the logarithm of the pace; in the scale of
    the loss; ``charges``: what a squared deviation between their charges counts beside these.
    """

    noise: float
    pace: float
    scale: float
    charges: float


LIKENESSES = tuple(
    Likeness(*each) for each in product((1.4e-4, 4.5e-4), (0.1, 0.2, 0.4), (0.1, 0.3, 0.6), (0.0, 1.5, 5.0))
)


@dataclass(frozen=True, slots=True)
class SimilarModel:
    """Training fades at all paces, k of them: the past [k, K], the fade to come [k], the logarithm of the pace [k], the
    charge at the last known cycle [k, F], and whose they are [k].
    """

    scale: Scale
    points: Ints
    past: Floats
    fade: Floats
    pace: Floats
    charge: Floats
    owner: NDArray[np.str_]
    lowest: float
    likeness: Likeness

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, 1], for rows as many cycles after the first as those that were learned from."""
        return np.array([self.said(cell, row, (self.likeness,)) for row in range(cell.rows)]).reshape(-1, 1)

    def said(self, cell: Cell, row: int, likenesses: Sequence[Likeness]) -> Floats:
        """What row ``row`` comes to by each of ``likenesses``: the median over the others' fades, float64 [l]."""
        at = int(cell.at[row])
        others = self.owner != cell.cell_id
        past, own = self.past[others], cell.steps[at - self.points[-1] + self.points, 0]
        past, own = past - past.mean(1, keepdims=True), own - own.mean()
        spread, shared = (past**2).mean(1), past @ own / len(own)
        charge = ((self.charge[others] - self.scale(cell.steps[at : at + 1])) ** 2).mean(1)
        said = []
        for like in likenesses:
            trust = (like.noise / like.scale) ** 2
            times = np.maximum((shared + trust) / (spread + trust), SMALLEST)
            apart = (
                ((own - times[:, None] * past) ** 2).mean(1) / like.noise**2
                + ((times - 1) / like.scale) ** 2
                + (self.pace[others] / like.pace) ** 2
                + like.charges * charge
            )
            said.append(_median(times * self.fade[others], np.exp(-(apart - apart.min()) / 2)))
        return np.asarray(np.maximum(cell.anchor[row, 0] - np.array(said), self.lowest), np.float64)


@dataclass(frozen=True, slots=True)
class Similar:
    """For cells whose first step is the capacity, smoothed, asked about once and all at the same cycle.

    columns: the steps that a charge is known by. None is said to be below the lowest that was learned.
    """

    columns: tuple[int, ...]
    name: str = "similar"

    def fit(self, cells: Sequence[Cell], seed: int) -> SimilarModel:  # noqa: ARG002
        """Keeps the fades, and the likeness by which each training cell is told best by the others."""
        asked = [row for cell in cells if np.isfinite((row := cell.exam()).truth).any()]
        known, wanted = int(asked[0].at[0]) + 1, int(asked[0].cycle[0])
        lowest = min(float(np.nanmin(cell.truth)) for cell in cells if np.isfinite(cell.truth).any())
        points = np.linspace(FIRST * known, known, POINTS).round().astype(np.int64) - 1
        shown = np.concatenate([cell.steps[known - 1 : known] for cell in cells])
        scale = Scale.of(shown, np.full(len(shown), 1 / len(shown)), CLIP, self.columns)
        warped = [_warped(cell, points, wanted - 1, lowest, scale) for cell in cells]
        past, fade, pace, charge = (np.concatenate(each) for each in zip(*warped, strict=True))
        owner = np.repeat([cell.cell_id for cell in cells], [len(each[1]) for each in warped])
        model = SimilarModel(scale, points, past, fade, pace, charge, owner, lowest, LIKENESSES[0])
        miss = [np.abs(model.said(cell, 0, LIKENESSES) - cell.truth[0, 0]) for cell in asked]
        best = LIKENESSES[int(np.mean(miss, 0).argmin())]
        return SimilarModel(scale, points, past, fade, pace, charge, owner, lowest, best)


def _warped(cell: Cell, points: Ints, end: int, lowest: float, scale: Scale) -> tuple[Floats, Floats, Floats, Floats]:
    """One fade at those paces at which its past is recorded and it still lives at step ``end``."""
    lived, fade = len(cell.steps), _continued(cell.steps[:, 0], lowest)
    known = points[-1]
    pace = PACES[(known / PACES <= lived - 1) & (end / PACES <= len(fade) - 1)]
    past = np.interp(points / pace[:, None], np.arange(len(fade)), fade)
    then = np.interp(end / pace, np.arange(len(fade)), fade)
    return past, past[:, -1] - then, np.log(pace), scale(cell.steps[(known / pace).round().astype(np.int64)])


def _continued(fade: Floats, lowest: float) -> Floats:
    """A cell is taken out a little before its end."""
    slope = (fade[-1] - fade[-1 - TAIL]) / TAIL
    more = fade[-1] + slope * np.arange(1, int((REACH - 1) * len(fade)) + 1)
    return np.concatenate((fade, more[more >= lowest]))


def _median(values: Floats, weight: Floats) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
