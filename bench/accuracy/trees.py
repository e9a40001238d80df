"""Extremely randomised trees on the newest step: rough, and strong where a forecast hangs on thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from bench.accuracy.cell import Cell, Floats, Ints, stacked

ABSENT = -9.0  # what is missing lies below all that is not, near enough for a tree
LEAF = -1


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes [k]: the feature that is asked (`LEAF` for none), its threshold, where to go on, and the mean label [k, H]
    of the training rows that end here.
    """

    feature: Ints
    threshold: Floats
    below: Ints
    above: Ints
    value: Floats


@dataclass(frozen=True, slots=True)
class TreesModel:
    """The mean over trees."""

    trees: tuple[Tree, ...]
    mean: Floats
    deviation: Floats

    def predict(self, cell: Cell) -> Floats:
        """Float64 [n, H]."""
        rows = _present(cell.steps[cell.at])
        said = np.zeros_like(cell.truth)
        for tree in self.trees:
            said += _read(rows, tree.feature, tree.threshold, tree.below, tree.above, tree.value)
        found: Floats = said / len(self.trees) * self.deviation + self.mean + cell.anchor
        return found


@dataclass(frozen=True, slots=True)
class Trees:
    """Splits at the best of random thresholds, one for each of a ``share`` of the features (Geurts et al. 2006), down
    to ``leaf`` rows, by the squared error over all heads. Heads must be known together.

    Each tree draws ``rows`` rows anew, such that cells count alike.
    """

    name: str = "trees"
    count: int = 100
    leaf: int = 3
    share: float = 0.5
    rows: int = 2000

    def fit(self, cells: Sequence[Cell], seed: int) -> TreesModel:
        """Grows ``count`` trees."""
        read, label, weight = stacked(cells)
        known = np.isfinite(label).all(1)
        read, label, weight = _present(read[known]), label[known], weight[known] / weight[known].sum()
        mean, deviation = label.mean(0), np.maximum(label.std(0), 1e-9)
        label = (label - mean) / deviation
        tries = max(1, round(self.share * read.shape[1]))
        rng = np.random.default_rng(seed)
        trees = []
        for _ in range(self.count):
            few = len(read) <= self.rows
            own = np.arange(len(read)) if few else rng.choice(len(read), self.rows, replace=False, p=weight)
            trees.append(Tree(*_grow(read[own].T.copy(), label[own], self.leaf, tries, int(rng.integers(2**31)))))
        return TreesModel(tuple(trees), mean, deviation)


def _present(steps: Floats) -> Floats:
    return np.ascontiguousarray(np.where(np.isfinite(steps), steps, ABSENT), np.float64)


@numba.njit(cache=True)
def _grow(columns: Floats, label: Floats, leaf: int, tries: int, seed: int) -> tuple[Ints, Floats, Ints, Ints, Floats]:
    """Depth first, from features [F, n] and labels [n, H]; the rows of a node are a stretch of ``order``."""
    np.random.seed(seed)  # of the generator in compiled code, which is the only one there
    count, heads = label.shape
    most = 2 * count
    feature, below, above = np.full(most, LEAF), np.zeros(most, np.int64), np.zeros(most, np.int64)
    threshold, value = np.zeros(most), np.zeros((most, heads))
    order, names = np.arange(count), np.arange(len(columns))
    waiting = [(0, 0, count)]
    nodes = 1
    while len(waiting) > 0:
        node, start, end = waiting.pop()
        own = order[start:end]
        for row in own:
            value[node] += label[row] / len(own)
        chosen, cut = _split(columns, label, own, names, leaf, tries)
        if chosen == LEAF:
            continue
        middle = start
        for at in range(start, end):
            if columns[chosen, order[at]] <= cut:
                order[at], order[middle] = order[middle], order[at]
                middle += 1
        feature[node], threshold[node], below[node], above[node] = chosen, cut, nodes, nodes + 1
        waiting.append((nodes, start, middle))
        waiting.append((nodes + 1, middle, end))
        nodes += 2
    return feature[:nodes], threshold[:nodes], below[:nodes], above[:nodes], value[:nodes]


@numba.njit(cache=True)
def _split(columns: Floats, label: Floats, own: Ints, names: Ints, leaf: int, tries: int) -> tuple[int, float]:
    """The best of ``tries`` features, drawn by shuffling ``names``, each at a random threshold; `LEAF` if there is
    none that gains.
    """
    heads = label.shape[1]
    total, part = np.zeros(heads), np.zeros(heads)
    for row in own:
        total += label[row]
    best, chosen, cut = (total**2).sum() / len(own) + 1e-9, LEAF, 0.0
    for tried in range(tries if len(own) >= 2 * leaf else 0):
        other = np.random.randint(tried, len(names))
        names[tried], names[other] = names[other], names[tried]
        column = columns[names[tried]]
        least, largest = _range(column, own)
        here = np.random.uniform(least, largest)
        few = 0
        part[:] = 0.0
        for row in own:
            if column[row] <= here:
                few += 1
                for head in range(heads):
                    part[head] += label[row, head]
        if few >= leaf and len(own) - few >= leaf:
            gain = (part**2).sum() / few + ((total - part) ** 2).sum() / (len(own) - few)
            if gain > best:
                best, chosen, cut = gain, names[tried], here
    return chosen, cut


@numba.njit(cache=True)
def _range(column: Floats, own: Ints) -> tuple[float, float]:
    least, largest = column[own[0]], column[own[0]]
    for row in own:
        least, largest = min(least, column[row]), max(largest, column[row])
    return least, largest


@numba.njit(cache=True)
def _read(rows: Floats, feature: Ints, threshold: Floats, below: Ints, above: Ints, value: Floats) -> Floats:
    """The value of the leaf that each row ends in."""
    found = np.empty((len(rows), value.shape[1]))
    for row in range(len(rows)):
        node = 0
        while feature[node] != LEAF:
            node = below[node] if rows[row, feature[node]] <= threshold[node] else above[node]
        found[row] = value[node]
    return found
