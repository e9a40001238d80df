"""The batteries that two sets of recordings share under different names (Severson et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator

FIRST, SECOND = "2017-05-12", "2017-06-30"
# Cells of each batch, from 0 as the authors number them, and those that they left out.
_CELLS = {FIRST: 46, SECOND: 48}
_LEFT_OUT = {FIRST: (8, 10, 12, 13, 22), SECOND: (7, 8, 9, 15, 16)}


def severson_names() -> dict[str, str]:
    """By the name in ``percycle/mit``, where cells count from 1, that in ``severson_qv100``: the authors test every
    other cell of both batches and the last, train on the rest, and each half is numbered from 1 in that order.
    """
    numbers = {"test1": 0, "train": 0}
    found = {}
    kept = list(_kept())
    for index, name in enumerate(kept):
        part = "test1" if index % 2 == 0 or index == len(kept) - 1 else "train"
        numbers[part] += 1
        found[name] = f"sev_{part}_{numbers[part]:02d}"
    return found


def _kept() -> Iterator[str]:
    for batch, count in _CELLS.items():
        yield from (f"{batch}_battery-{cell + 1}" for cell in range(count) if cell not in _LEFT_OUT[batch])
