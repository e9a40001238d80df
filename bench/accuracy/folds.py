"""Who trains and who tests: always whole cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Cell


@dataclass(frozen=True, slots=True)
class Fold:
    """Indices of cells; what is tested is never among what trains."""

    train: tuple[int, ...]
    test: tuple[int, ...]

    def __post_init__(self) -> None:
        if set(self.train) & set(self.test):
            raise ValueError("a cell cannot both train and test")


Split = Callable[[Sequence[Cell], int], list[Fold]]


def by_cell(count: int) -> Split:
    """``count`` folds, shuffled anew with each seed, every group spread evenly over them."""

    def split(cells: Sequence[Cell], seed: int) -> list[Fold]:
        part = _dealt(cells, count, seed)
        return [_fold(part != index, part == index) for index in range(count) if (part == index).any()]

    return split


def leave_one_out(cells: Sequence[Cell], seed: int) -> list[Fold]:  # noqa: ARG001  the same whatever the seed
    """Each cell once."""
    names = np.arange(len(cells))
    return [_fold(names != index, names == index) for index in names]


def held_out(tested: Callable[[Cell], bool]) -> Split:
    """One fold, with the cells that a benchmark names as its test."""

    def split(cells: Sequence[Cell], seed: int) -> list[Fold]:  # noqa: ARG001
        test = np.array([tested(cell) for cell in cells], bool)
        return [_fold(~test, test)]

    return split


def _dealt(cells: Sequence[Cell], count: int, seed: int) -> np.ndarray:
    """Deals shuffled cells out like cards, group after group: int [cells], the fold of each."""
    shuffled = np.random.default_rng(seed).permutation(len(cells))
    ordered = sorted(shuffled, key=lambda index: cells[index].group)
    part = np.empty(len(cells), np.int64)
    part[ordered] = np.arange(len(cells)) % count
    return part


def _fold(train: np.ndarray, test: np.ndarray) -> Fold:
    return Fold(tuple(map(int, np.flatnonzero(train))), tuple(map(int, np.flatnonzero(test))))
