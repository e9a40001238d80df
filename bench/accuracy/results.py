"""A row of the table: five runs of one goal, beside its baselines, its bar, and what others reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.anchors import ANCHORS
from bench.accuracy.protocol import Goal, Protocol, Said
from bench.accuracy.scores import Score, error_alone, score, score_baseline

BASELINES = ("copy", "linear", "mean")
COVERED = (0.87, 0.93)


@dataclass(frozen=True, slots=True)
class Row:
    """Errors in the goal's measure. ``runs`` has one score a seed; widths and coverages are of 90 % intervals.

    ``alone``: the error of each learner of the mixture on the same cells, the mean over seeds; it chose nothing.
    """

    protocol: str
    goal: str
    track: str
    data: str
    measure: str
    unit: str
    bar: float | None
    worst_bar: float | None
    cells: int
    calibration_cells: int
    runs: tuple[Score, ...]
    baselines: dict[str, Score]
    alone: dict[str, float]
    anchor: str
    cpu_s: float

    @property
    def error(self) -> float:
        """The mean over seeds."""
        return float(np.mean([run.error for run in self.runs]))

    @property
    def spread(self) -> float:
        """The standard deviation over seeds."""
        return float(np.std([run.error for run in self.runs]))

    @property
    def worst_group(self) -> float:
        """The group with the largest error, its mean over seeds."""
        groups = self.runs[0].by_group
        return max(float(np.mean([run.by_group[group] for run in self.runs])) for group in groups)

    @property
    def coverage(self) -> float:
        """By cell, then over cells and seeds."""
        return float(np.mean([run.coverage for run in self.runs]))

    @property
    def width(self) -> float:
        """By cell, then over cells and seeds."""
        return float(np.mean([run.width for run in self.runs]))

    @property
    def best_baseline(self) -> Score | None:
        """The baseline that errs least."""
        return min(self.baselines.values(), key=lambda each: each.error, default=None)

    @property
    def verdict(self) -> str:
        """Of the error: ``met`` or ``missed`` where a bar is set, else whether every baseline is beaten."""
        best = self.best_baseline
        beaten = best is None or self.error < best.error
        if self.bar is None:
            return "beats baselines" if beaten else "loses to a baseline"
        worst = self.worst_bar is None or self.worst_group <= self.worst_bar
        return "met" if self.error <= self.bar and worst else "missed"

    @property
    def interval_verdict(self) -> str:
        """Of the intervals: too few cells to claim anything, too narrow, too wide, or covering, and sharper or not."""
        if self.calibration_cells < 9:
            return "too few cells"
        low, high = COVERED
        covered = "covers" if low <= self.coverage <= high else "too narrow" if self.coverage < low else "too wide"
        best = self.best_baseline
        if best is None:
            return covered
        return f"{covered}, {'sharper' if self.width < best.width else 'not sharper'}"


def rows(protocol: Protocol, said: Sequence[Sequence[Said]], cpu_s: float) -> list[Row]:
    """A row for each goal, from the runs of all seeds. Baselines are those of the first."""
    return [_row(protocol, goal, said, cpu_s) for goal in protocol.goals]


def _row(protocol: Protocol, goal: Goal, said: Sequence[Sequence[Said]], cpu_s: float) -> Row:
    runs = tuple(score(goal, run) for run in said)
    found = {name: score_baseline(goal, said[0], name) for name in BASELINES}
    return Row(
        protocol=protocol.name,
        goal=goal.name,
        track=protocol.track,
        data=protocol.data,
        measure=goal.measure,
        unit=goal.unit,
        bar=goal.bar,
        worst_bar=goal.worst_bar,
        cells=len(runs[0].by_cell),
        calibration_cells=min(each.calibration_cells for each in said[0]),
        runs=runs,
        baselines={name: each for name, each in found.items() if each is not None},
        alone={
            learner.name: float(np.mean([error_alone(goal, run, learner.name) for run in said]))
            for learner in protocol.learners
            if learner.name in said[0][0].alone
        },
        anchor=ANCHORS.get(protocol.name, ""),
        cpu_s=cpu_s,
    )
