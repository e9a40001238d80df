"""What a scanner says of one record, and what makes that a row of the columns. Compiled.

A scanner of a format answers with bits of what it has ``seen``: of each field; of those that a number was given for;
of those whose number is an integer; and some besides. Numbers that stand alone are in ``number``, float64 [fields].
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# The limits of `stream.records`: a cached kernel does not notice when another file changes.
MAX_CELLS = 1024
MAX_ID_BYTES = 256
MAX_EXACT = 2**53
MAX_CYCLE = 2**31 - 1

FIELDS = (
    "v",
    "kind",
    "pack_id",
    "cell",
    "t_ms",
    "current_a",
    "voltage_v",
    "temp_degc",
    "cycle",
    "capacity_ah",
    "nominal_capacity_ah",
    "soc_pct",
    "late",
)
V, KIND, PACK_ID, CELL, T_MS, CURRENT_A, VOLTAGE_V, TEMP_DEGC, CYCLE, CAPACITY_AH, NOMINAL_AH, SOC_PCT, LATE = range(13)
FIRST_OPTIONAL = TEMP_DEGC  # from here up to `LATE` a field may be null
GIVEN, INTEGER = 1 << 16, 1 << 32  # times a field's own bit
IS_PACK, VOLTAGE_LIST, TEMP_LIST = 1 << 48, 1 << 49, 1 << 50
INTEGERS = 1 << V | 1 << CELL | 1 << T_MS | 1 << CYCLE
NEEDS = 1 << KIND | 1 << PACK_ID | 1 << VOLTAGE_V | (1 << T_MS | 1 << CURRENT_A) * GIVEN
CELL_NEEDS = NEEDS | (1 << CELL | 1 << VOLTAGE_V) * GIVEN
PACK_NEEDS = NEEDS | VOLTAGE_LIST | IS_PACK
ONLY_CELL = (1 << VOLTAGE_V | 1 << TEMP_DEGC) * GIVEN
ONLY_PACK = IS_PACK | VOLTAGE_LIST | TEMP_LIST


def words(*given: bytes) -> NDArray[np.uint8]:
    """Words as rows of bytes, uint8 [words, longest + 1], each with a zero behind its end."""
    size = max(map(len, given)) + 1
    return np.frombuffer(b"".join(word.ljust(size, b"\0") for word in given), np.uint8).reshape(-1, size)


@njit(cache=True, nogil=True, error_model="numpy")
def after(text, at, word):  # type: ignore[no-untyped-def]
    """Where a word that stands at ``at`` ends; -1 if it is another."""
    place = 0
    while word[place] != 0:
        if text[at + place] != word[place]:
            return -1
        place += 1
    return at + place


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def field_at(text, at, guess, names):  # type: ignore[no-untyped-def]
    """Which field's name stands at ``at``, and where its value begins; -1 if it is none. The guess is tried first."""
    fields = names.shape[0]
    for turn in range(fields):
        field = (guess + turn) % fields
        value_at = after(text, at, names[field])
        if value_at > 0:
            return field, value_at
    return -1, -1


@njit(cache=True, nogil=True, error_model="numpy")
def is_row(seen, number, readings):  # type: ignore[no-untyped-def]
    """Whether what was seen is a record with all it must have, each within its limits. readings: of a pack frame."""
    given = seen // GIVEN
    if given & INTEGERS & ~(seen // INTEGER):
        return False
    if seen & IS_PACK:
        good = seen & PACK_NEEDS == PACK_NEEDS and not seen & ONLY_CELL and readings > 0
    else:
        good = seen & CELL_NEEDS == CELL_NEEDS and not seen & ONLY_PACK
    good &= number[T_MS] >= 0
    good &= not given >> V & 1 or number[V] == 1
    good &= not given >> CELL & 1 or 0 <= number[CELL] < MAX_CELLS
    good &= not given >> CYCLE & 1 or 0 <= number[CYCLE] <= MAX_CYCLE
    good &= not given >> CAPACITY_AH & 1 or number[CAPACITY_AH] > 0
    good &= not given >> NOMINAL_AH & 1 or number[NOMINAL_AH] > 0
    return good


@njit(cache=True, nogil=True, error_model="numpy")
def number_or(missing, field, seen, number):  # type: ignore[no-untyped-def]
    """The number given for a field, or what stands for none."""
    return number[field] if seen // GIVEN >> field & 1 else missing
