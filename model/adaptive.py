"""Intervals that keep their coverage while truth comes in: how wide they are is learned, one measured value at a time.

The width of an interval is multiplied by a factor, on whose logarithm adaptive conformal inference works (Gibbs and
Candes 2021) as quantile tracking, the P of conformal PID control (Angelopoulos, Candes and Tibshirani 2023): a truth
outside raises it by ``0.9 * STEP``, one inside lowers it by ``0.1 * STEP``. Where both balance, 90 % of truths are
inside. Nothing is assumed of the truths, not even that they have anything to do with the predictions: `law` says how
far from that the share can be.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from model.schema import QUANTILES

MISS_RATE = round(1 - (QUANTILES[-1] - QUANTILES[0]), 12)
# One miss in ten moves the width by a tenth of that: it wavers by some 11 %, and is 8 times wider after 23 misses.
STEP = 0.1
REACH = 32.0  # no interval is more than about so many times wider or narrower than the model's own
FLOOR = 0.001  # of the median: the least that an interval reaches to either side, or no factor could widen it


class Bounds(NamedTuple):
    """A median and the 90 % interval around it, in any unit."""

    p05: float
    p50: float
    p95: float


class Width(NamedTuple):
    """What was learned: the logarithm of the factor by which intervals are widened. It is the whole state."""

    level: float = 0.0

    @property
    def factor(self) -> float:
        """By how much intervals are wider than the model's own."""
        return math.exp(self.level)

    def learned(self, *, missed: bool) -> Width:
        """After one more truth, which was missed (see `missed`) or was not."""
        return Width(self.level + STEP * (missed - MISS_RATE))


def widened(bounds: Bounds, factor: float) -> Bounds:
    """The interval, ``factor`` times as wide to either side of its median; nothing predicted here is below zero."""
    below, above = _reach(bounds)
    return Bounds(max(bounds.p50 - factor * below, 0.0), bounds.p50, bounds.p50 + factor * above)


def missed(bounds: Bounds, factor: float, truth: float) -> bool:
    """Whether the interval, widened by ``factor``, does not hold the truth.

    A truth that less than ``1 / REACH`` would hold counts as there, one that more than ``REACH`` would not hold as at
    ``REACH``: that bounds the factor.
    """
    below, above = _reach(bounds)
    away = truth - bounds.p50
    needed = away / above if away >= 0 else -away / below
    return min(max(needed, 1 / REACH), REACH) > factor


def law(truths: int, between: int = 0) -> float:
    """How far from `MISS_RATE` the share of misses can be after so many truths, whatever they are.

    ``between``: the most other truths that came in between the making of an interval and its own truth.
    """
    return (math.log(REACH) / STEP + 1 + between) / truths


def _reach(bounds: Bounds) -> tuple[float, float]:
    """How far the interval reaches below its median and above."""
    least = max(FLOOR * bounds.p50, 1e-9)
    return max(bounds.p50 - bounds.p05, least), max(bounds.p95 - bounds.p50, least)
