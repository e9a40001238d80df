"""Alerts as their definitions read, one answer at a time: what the compiled rules are held against."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from statistics import median
from typing import Any

import numpy as np

from model.block import MASKED_INPUT, OUT_OF_DISTRIBUTION
from stream.alarms import KINDS, LEAST_CELLS, USUAL_OF, Rule
from stream.records import AlertKind


class PlainPack:
    """The cells of one pack."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.usual: dict[int, float] = {}
        self.against: dict[tuple[int, AlertKind], list[bool]] = defaultdict(list)
        self.standing: set[tuple[int, AlertKind]] = set()

    def take(self, answers: np.ndarray) -> list[tuple[int, AlertKind, bool]]:
        """Cell, kind, and whether it begins, of each alert that the answers (`ANSWER` [n]) begin or end."""
        found = []
        for _, group in groupby(answers, key=lambda answer: int(answer["offset"])):
            record = list(group)
            drops = [self._learned(int(answer["cell"]), float(answer["soh"][1])) for answer in record]
            for answer, drop in zip(record, drops, strict=True):
                for kind, (holds, clearly_not) in self._conditions(answer, drop).items():
                    whose = int(answer["cell"]), kind
                    if self._turned(whose, against=clearly_not if whose in self.standing else holds):
                        found.append((*whose, whose in self.standing))
        return found

    def _learned(self, cell: int, soh: float) -> float:
        """How much lower it is than usual; from now on it counts to that."""
        drop = self.usual.get(cell, np.nan) - soh
        if np.isfinite(soh):
            self.usual[cell] = float(np.float32(soh if np.isnan(drop) else self.usual[cell] - drop / USUAL_OF))
        return drop

    def _conditions(self, answer: Any, drop: float) -> dict[AlertKind, tuple[bool, bool]]:
        """Of each kind whether its condition holds, and whether it clearly does not."""
        cell, (low, soh, high) = int(answer["cell"]), answer["soh"].astype(float)
        found = {}
        if np.isfinite(soh) or np.isfinite(answer["rul_cycles"][1]):
            others = list(self.usual.values()) if len(self.usual) >= LEAST_CELLS else [np.nan]
            middle = median(others)
            spread = 1.4826 * median(abs(each - middle) for each in others)
            p, below = float(answer["p_warranty"]), middle - self.usual.get(cell, np.nan)
            fade, apart = max(self.rule.fade_soh, (high - low) / 2), max(self.rule.outlier_soh, 4 * spread)
            found = {
                AlertKind.END_OF_LIFE: (soh < self.rule.eol_soh, not low < self.rule.eol_soh),
                AlertKind.WARRANTY: (p > self.rule.p_warranty, not p > self.rule.p_warranty / 2),
                AlertKind.SUDDEN_FADE: (drop > fade, not drop > fade / 2),
                AlertKind.OUTLIER: (below > apart, not below > apart / 2),
            }
        for kind, bit in ((AlertKind.SENSOR_FAULT, MASKED_INPUT), (AlertKind.OUT_OF_DISTRIBUTION, OUT_OF_DISTRIBUTION)):
            found[kind] = bool(answer["flags"] & bit), not answer["flags"] & bit
        assert list(found) == [kind for kind in KINDS if kind in found]
        return found

    def _turned(self, whose: tuple[int, AlertKind], *, against: bool) -> bool:
        self.against[whose].append(against)
        if self.against[whose][-self.rule.patience :] != [True] * self.rule.patience:
            return False
        self.against[whose].clear()
        self.standing ^= {whose}
        return True
