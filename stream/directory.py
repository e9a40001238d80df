"""Which number the pack of an id has, looked up by compiled code for all ids of a run at once."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from model.growth import grown
from stream.pack_ids import NONE, PackIds, home_of, place_of


class Directory:
    """Numbers by pack id. They are small, and may be given again when they are free.

    Nothing is taken out of the hash table: a number that is free, or another pack's by now, is found to be of no such
    id and passed by. When the table is half full, or the text full, both are made anew of what is still there.
    """

    def __init__(self) -> None:
        self._spans = np.zeros((0, 2), np.int64)  # of each number, where its id stands in the text; empty where free
        self._text = np.zeros(0, np.uint8)
        self._table = np.full(1, NONE, np.int32)
        self._filled = np.zeros(2, np.int64)  # places of the table, bytes of the text

    def find(self, ids: PackIds) -> NDArray[np.int64]:
        """The number of each id, int64 [ids]; `NONE` where it has none."""
        return _find(ids.text, ids.spans, self._table, self._text, self._spans)  # type: ignore[no-any-return]

    def add(self, pack_id: str, number: int) -> None:
        """Gives an id that has none a number that is free."""
        if number >= len(self._spans):
            self._spans = grown(self._spans, number + 1)
        name = np.frombuffer(pack_id.encode(), np.uint8)
        places, size = self._filled
        if 2 * (places + 1) > len(self._table) or size + len(name) > len(self._text):
            self._make_room(len(name))
        _add(name, number, self._table, self._text, self._spans, self._filled)

    def remove(self, number: int) -> None:
        """Sets a number free."""
        self._spans[number] = 0

    def _make_room(self, size: int) -> None:
        sizes = self._spans[:, 1] - self._spans[:, 0]
        text, spans = self._text, self._spans
        self._table = np.full(4 << int(np.count_nonzero(sizes)).bit_length(), NONE, np.int32)
        self._text, self._spans = np.zeros(2 * (int(sizes.sum()) + size), np.uint8), np.zeros_like(spans)
        self._filled[:] = 0
        _add_all(text, spans, self._table, self._text, self._spans, self._filled)


@njit(cache=True, nogil=True, error_model="numpy")
def _find(text, wanted, table, known, spans):  # type: ignore[no-untyped-def]
    # Places are read before any is compared: of a large fleet none is in a cache, and so they come at the same time.
    homes, numbers = np.empty((2, wanted.shape[0]), np.int64)
    for at in range(wanted.shape[0]):
        homes[at] = home_of(text, wanted[at, 0], wanted[at, 1], table)
    for at in range(wanted.shape[0]):
        numbers[at] = table[homes[at]]
    for at in range(wanted.shape[0]):
        numbers[at] = table[place_of(text, wanted[at, 0], wanted[at, 1], homes[at], table, known, spans)]
    return numbers


@njit(cache=True, nogil=True, error_model="numpy")
def _add(name, number, table, known, spans, filled):  # type: ignore[no-untyped-def]
    begin, end = filled[1], filled[1] + name.shape[0]
    known[begin:end] = name
    spans[number, 0], spans[number, 1] = begin, end
    place = place_of(name, 0, name.shape[0], home_of(name, 0, name.shape[0], table), table, known, spans)
    filled[0] += table[place] == NONE
    filled[1] = end
    table[place] = number


@njit(cache=True, nogil=True, error_model="numpy")
def _add_all(text, spans, table, known, new_spans, filled):  # type: ignore[no-untyped-def]
    for number in range(spans.shape[0]):
        begin, end = spans[number, 0], spans[number, 1]
        if begin < end:
            _add(text[begin:end], number, table, known, new_spans, filled)
