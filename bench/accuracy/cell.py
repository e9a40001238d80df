"""What a protocol knows of a cell: causal steps, the rows at which something is predicted, and what was true there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a protocol.

    group: the duty it was under, which folds are stratified by. steps: float64 [T, F]; step ``t`` is a function of what
    was recorded up to ``t``, NaN where it shows nothing. at: int64 [n], the step each prediction is made at. cycle:
    int64 [n], for people. truth: float64 [n, H], NaN unknown. anchor: float64 [n, H], what is known beforehand and need
    not be learned (zeros, or the capacity measured last). copied, drawn: float64 [n, H], the copy-last and the linear
    baseline. place: [n], a part of the rows to be reported by itself (where in a cycle a window lies), or empty.
    examined: [n], the rows asked about; None for all. copies: the same cell had it lived otherwise, which teach
    with it and count as much as it does; nobody is asked about them.
    """

    cell_id: str
    group: str
    steps: Floats
    at: Ints
    cycle: Ints
    truth: Floats
    anchor: Floats
    copied: Floats
    drawn: Floats
    place: tuple[str, ...] = ()
    examined: NDArray[np.bool_] | None = None
    copies: tuple[Cell, ...] = ()

    def exam(self) -> Cell:
        """The rows that a protocol asks about, without those that are only there to learn from."""
        if self.examined is None:
            return self
        return self.taken(np.flatnonzero(self.examined))

    def taken(self, rows: Ints) -> Cell:
        """These rows alone, all of them asked about."""
        return replace(
            self, at=self.at[rows], cycle=self.cycle[rows], truth=self.truth[rows], anchor=self.anchor[rows],
            copied=self.copied[rows], drawn=self.drawn[rows], examined=None,
        )  # fmt: skip

    def relabelled(self, truth: Floats) -> Cell:
        """The same cell with another truth, and without copies, which would tell the old one."""
        return replace(self, truth=truth, copies=())

    @property
    def rows(self) -> int:
        """Predictions."""
        return len(self.at)


def stacked(cells: Sequence[Cell]) -> tuple[Floats, Floats, Floats]:
    """The steps read at each row with a known label [N, F], then what `labelled` says of these."""
    read = [cell.steps[cell.at[np.isfinite(cell.truth).any(1)]] for cell in cells]
    return np.concatenate(read), *labelled(cells)


def labelled(cells: Sequence[Cell]) -> tuple[Floats, Floats]:
    """The labels beyond the anchor [N, H], and weights [N] that let cells count alike; rows without any known label are
    left out.
    """
    label, weight = [], []
    for cell in cells:
        known = np.isfinite(cell.truth).any(1)
        label.append((cell.truth - cell.anchor)[known])
        weight.append(np.full(known.sum(), 1.0 / max(known.sum(), 1)))
    weights = np.concatenate(weight)
    return np.concatenate(label), weights / weights.sum()
