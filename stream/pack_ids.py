"""Pack ids as the bytes that they came in: what compiled code tells packs by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

NONE = -1
FNV_PRIME, FNV_BASIS = 1099511628211, 1469598103934665603


class PackIds(NamedTuple):
    """Pack ids, each there once. text: uint8 [bytes], UTF-8. spans: int64 [n, 2], where each begins and ends in it."""

    text: NDArray[np.uint8]
    spans: NDArray[np.int64]

    @classmethod
    def of(cls, names: Sequence[str]) -> PackIds:
        """The ids of these names."""
        encoded = [name.encode() for name in names]
        ends = np.cumsum([0, *map(len, encoded)])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), np.stack((ends[:-1], ends[1:]), axis=1))

    def name(self, number: int) -> str:
        """One of them as text."""
        begin, end = self.spans[number]
        return self.text[begin:end].tobytes().decode()

    def names(self) -> Iterator[str]:
        """All of them as text."""
        return map(self.name, range(len(self.spans)))


@njit(cache=True, nogil=True, error_model="numpy")
def home_of(text, begin, end, table):  # type: ignore[no-untyped-def]
    """Where in a table, int32 [power of two], the number of an id is to be looked for first."""
    mixed = FNV_BASIS
    for at in range(begin, end):
        mixed = (mixed ^ text[at]) * FNV_PRIME
    return (mixed ^ mixed >> 32) & (table.shape[0] - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def place_of(text, begin, end, home, table, known, spans):  # type: ignore[no-untyped-def]
    """Where in a table the number of an id is, or may be put: what is there then is `NONE`.

    table: int32 [power of two], numbers by the hash of their id, not full; number n is that of the id that stands at
    ``spans[n]`` of the text ``known``.
    """
    place = home
    while table[place] != NONE:
        other = spans[table[place], 0]
        same = spans[table[place], 1] - other == end - begin
        for at in range(begin, end):
            if not same:
                break
            same = text[at] == known[other + at - begin]
        if same:
            break
        place = (place + 1) & (table.shape[0] - 1)
    return place
