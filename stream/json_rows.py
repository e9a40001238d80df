"""Records that differ in numbers and a name alone, as JSON, in compiled code.

What is the same in all of them is written once, by the encoder of all other records, with marks where the rest goes.
A decimal is a whole number of millionths: its shortest text, which is what the encoder writes, are its own digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of a row: the name's number, numbers that are whole, and from `DECIMALS` on millionths.
NAME, DECIMALS = 0, 6
END = -1
LEAST, MOST = 10.0, 1e15  # millionths whose text is their digits: less takes an exponent, more than float64 holds
_NUMBER_BYTES = 25  # the longest text of a float64, and of an int64
QUOTE, MINUS, POINT, SLASH, ZERO = (*b'"-./0',)
_MARK = re.compile(rb"\0(\d+)\0")  # no byte of a JSON text is zero


def mark(column: int) -> Any:
    """Stands in a record for what differs."""
    return msgspec.Raw(b"\0%d\0" % column)


class Forms:
    """Of each form of a row the pieces of text that are the same, and the column that comes behind each.

    text: uint8 [bytes]. spans: int64 [pieces, 2], of all forms. columns: int64 [pieces], `END` behind a form's last.
    first: int64 [forms], where the pieces of each begin. longest: bytes of the longest form.
    """

    def __init__(self) -> None:
        self.text = np.zeros(0, np.uint8)
        self.spans = np.zeros((0, 2), np.int64)
        self.columns = np.zeros(0, np.int64)
        self.first = np.zeros(0, np.int64)
        self.longest = 0

    def add(self, encoded: bytes) -> int:
        """The number of a new form: a record as it was encoded with marks."""
        pieces = _MARK.split(encoded)
        texts, columns = pieces[::2], [*map(int, pieces[1::2]), END]
        ends = len(self.text) + np.cumsum([0, *map(len, texts)])
        self.first = np.append(self.first, len(self.spans))
        self.text = np.concatenate((self.text, np.frombuffer(b"".join(texts), np.uint8)))
        self.spans = np.concatenate((self.spans, np.stack((ends[:-1], ends[1:]), axis=1)))
        self.columns = np.concatenate((self.columns, np.array(columns, np.int64)))
        self.longest = max(self.longest, len(encoded))
        return len(self.first) - 1


def millionths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many millionths, rounded."""
    rounded: NDArray[np.float64] = np.rint(values * 1e6)
    return rounded


def rows(
    forms: Forms,
    form: NDArray[np.int64],
    names: Sequence[str],
    whole: NDArray[np.int64],
    decimals: NDArray[np.float64],
) -> list[tuple[bytes, bytes]]:
    """Keys ``NAME/n``, n being the first whole number, and values of rows.

    form: int64 [n], by number. whole: int64 [n, DECIMALS], the number of the row's name, and whole numbers not below
    zero. decimals: float64 [n, decimals], `millionths`.
    """
    size = np.abs(decimals)
    other = ((size < LEAST) & ((decimals != 0) | np.signbit(decimals))) | ~(size < MOST)
    texts = [each for name in names for each in (msgspec.json.encode(name), name.encode())]
    if other.any():
        decimals = decimals.copy()
        spelt = [msgspec.json.encode(value) for value in (decimals[other] / 1e6).tolist()]
        decimals[other] = MOST + len(texts) + np.arange(len(spelt))
        texts += spelt
    ends = np.cumsum([0, *map(len, texts)])
    longest_name = 2 * max(map(len, texts), default=0)
    row = forms.longest + longest_name + _NUMBER_BYTES * (1 + whole.shape[1] + decimals.shape[1])
    out = np.empty(len(form) * row, np.uint8)
    spans = np.empty(2 * len(form) + 1, np.int64)
    _write(
        *(forms.text, forms.spans, forms.columns, forms.first),
        *(np.frombuffer(b"".join(texts) or b"\0", np.uint8), ends, form, whole, decimals.astype(np.int64), out, spans),
    )
    written = out[: spans[-1]].tobytes()
    at = spans.tolist()
    keys = [written[begin:end] for begin, end in zip(at[::2], at[1::2], strict=False)]
    values = [written[begin:end] for begin, end in zip(at[1::2], at[2::2], strict=True)]
    return list(zip(keys, values, strict=True))


@njit(cache=True, nogil=True, error_model="numpy")
def _write(text, pieces, columns, first, others, other_ends, form, whole, decimals, out, spans):  # type: ignore[no-untyped-def]
    """Writes key and value of each row; where they begin, and where the last ends, is in ``spans``."""
    to = 0
    for row in range(form.shape[0]):
        name = 2 * whole[row, NAME]
        spans[2 * row] = to
        to = _copy(others, other_ends[name + 1], other_ends[name + 2], out, to)
        out[to] = SLASH
        to = _digits(whole[row, NAME + 1], out, to + 1)
        spans[2 * row + 1] = to
        piece = first[form[row]]
        while True:
            to = _copy(text, pieces[piece, 0], pieces[piece, 1], out, to)
            column = columns[piece]
            piece += 1
            if column == END:
                break
            if column == NAME:
                to = _copy(others, other_ends[name], other_ends[name + 1], out, to)
            elif column < DECIMALS:
                to = _digits(whole[row, column], out, to)
            else:
                value = decimals[row, column - DECIMALS]
                if value < MOST:
                    to = _decimal(value, out, to)
                else:
                    spelt = value - np.int64(MOST)
                    to = _copy(others, other_ends[spelt], other_ends[spelt + 1], out, to)
    spans[2 * form.shape[0]] = to


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _copy(text, begin, end, out, to):  # type: ignore[no-untyped-def]
    for at in range(begin, end):
        out[to + at - begin] = text[at]
    return to + end - begin


@njit(cache=True, nogil=True, error_model="numpy")
def _digits(value, out, to):  # type: ignore[no-untyped-def]
    """A whole number, not below zero."""
    size, rest = 1, value // 10
    while rest > 0:
        size, rest = size + 1, rest // 10
    for at in range(to + size - 1, to - 1, -1):
        out[at] = ZERO + value % 10
        value //= 10
    return to + size


@njit(cache=True, nogil=True, error_model="numpy")
def _decimal(value, out, to):  # type: ignore[no-untyped-def]
    """So many millionths: no zeros at the end but one behind the point."""
    if value < 0:
        out[to] = MINUS
        value, to = -value, to + 1
    to = _digits(value // 1_000_000, out, to)
    out[to] = POINT
    rest, places = value % 1_000_000, 6
    while places > 1 and rest % 10 == 0:
        rest, places = rest // 10, places - 1
    for at in range(to + places, to, -1):
        out[at] = ZERO + rest % 10
        rest //= 10
    return to + 1 + places
