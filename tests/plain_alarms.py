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
        self.soh: dict[int, float] = {}
        self.usual: dict[int, float] = {}
        self.held: dict[tuple[int, AlertKind], list[bool]] = defaultdict(list)
        self.standing: set[tuple[int, AlertKind]] = set()

    def take(self, answers: np.ndarray) -> list[tuple[int, AlertKind, bool]]:
        """Cell, kind, and whether it begins, of each alert that the answers (`ANSWER` [n]) begin or end."""
        found = []
        for _, group in groupby(answers, key=lambda answer: int(answer["offset"])):
            record = list(group)
            self.soh |= {int(each["cell"]): float(each["soh"][1]) for each in record if np.isfinite(each["soh"][1])}
            for answer in record:
                for kind, holds in self._conditions(answer).items():
                    if self._turned((int(answer["cell"]), kind), holds):
                        found.append((int(answer["cell"]), kind, holds))
        return found

    def _conditions(self, answer: Any) -> dict[AlertKind, bool]:
        cell, (low, soh, high) = int(answer["cell"]), answer["soh"].astype(float)
        found = {}
        if np.isfinite(soh) or np.isfinite(answer["rul_cycles"][1]):
            usual = self.usual.get(cell, np.nan)
            others = list(self.soh.values()) if len(self.soh) >= LEAST_CELLS else [np.nan]
            middle = median(others)
            spread = 1.4826 * median(abs(each - middle) for each in others)
            found = {
                AlertKind.END_OF_LIFE: soh < self.rule.eol_soh,
                AlertKind.WARRANTY: bool(answer["p_warranty"] > self.rule.p_warranty),
                AlertKind.SUDDEN_FADE: usual - soh > max(self.rule.fade_soh, (high - low) / 2),
                AlertKind.OUTLIER: middle - soh > max(self.rule.outlier_soh, 4 * spread),
            }
            if np.isfinite(soh):
                self.usual[cell] = soh if np.isnan(usual) else usual + (soh - usual) / USUAL_OF
        found[AlertKind.SENSOR_FAULT] = bool(answer["flags"] & MASKED_INPUT)
        found[AlertKind.OUT_OF_DISTRIBUTION] = bool(answer["flags"] & OUT_OF_DISTRIBUTION)
        assert list(found) == [kind for kind in KINDS if kind in found]
        return found

    def _turned(self, whose: tuple[int, AlertKind], holds: bool) -> bool:
        self.held[whose].append(holds)
        if (whose in self.standing) == holds or self.held[whose][-self.rule.patience :] != [holds] * self.rule.patience:
            return False
        self.standing ^= {whose}
        return True
