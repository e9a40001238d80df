"""One plain msgpack record into the columns, in compiled code.

Plain is a map of known fields, each once, and of others that hold a number, nil, a boolean, a text or an array of
these; in the shortest forms of maps, arrays and names, with ASCII texts and integers that float64 holds exactly.
Numbers may be of any type; float32, which readings become anyway, is the smallest.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from stream.row import (
    FIELDS,
    FIRST_OPTIONAL,
    GIVEN,
    INTEGER,
    IS_PACK,
    KIND,
    LATE,
    MAX_CELLS,
    MAX_EXACT,
    MAX_ID_BYTES,
    PACK_ID,
    TEMP_DEGC,
    TEMP_LIST,
    VOLTAGE_LIST,
    VOLTAGE_V,
    after,
    field_at,
    words,
)

FIXMAP, FIXLIST, FIXTEXT, NIL, FALSE, TRUE = 0x80, 0x90, 0xA0, 0xC0, 0xC2, 0xC3
FLOAT32, FLOAT64, UINT8, INT8, TEXT8, TEXT16, LIST16, MAP16, NEGATIVE = (
    0xCA,
    0xCB,
    0xCC,
    0xD0,
    0xD9,
    0xDA,
    0xDC,
    0xDE,
    0xE0,
)
MAX_STEP_BYTES = 512  # more than is ever read beyond a record's end before that is noticed: an id, a name, a number
_NAMES = words(*(bytes([FIXTEXT + len(name)]) + name.encode() for name in FIELDS))
_WORDS = words(b"\xa4pack", b"\xa4cell")
PACK, SINGLE = range(2)


@njit(cache=True, nogil=True, error_model="numpy")
def msgpack_record(text, at, end, number, voltage_v, reading, temp_degc, temp):  # type: ignore[no-untyped-def]
    """As `stream.json_record.json_record`, of a msgpack record.

    What is read beyond ``end``, up to `MAX_STEP_BYTES`, makes no record plain, for it has to end there.
    """
    seen = id_begin = id_end = 0
    last = -1
    left, at = _count(text, at, FIXMAP, MAP16)
    while left > 0:
        field, value_at = field_at(text, at, last + 1, _NAMES)
        if field < 0:
            value_at = _behind_name(text, at)
        elif seen >> field & 1:
            value_at = -1
        else:
            seen |= 1 << field
            last = field
        if value_at < 0 or value_at > end:
            return 0, reading, temp, 0, 0
        at = value_at
        is_list = _count(text, at, FIXLIST, LIST16)[1] > 0
        if field < 0:
            at = _behind_list(text, at, end) if is_list else _behind_scalar(text, at)
        elif field == VOLTAGE_V and is_list:
            seen |= VOLTAGE_LIST
            reading, at = _list(text, at, end, voltage_v, reading)
        elif field == TEMP_DEGC and is_list:
            seen |= TEMP_LIST
            temp, at = _list(text, at, end, temp_degc, temp)
        elif field == KIND:
            is_pack = after(text, at, _WORDS[PACK]) > 0
            seen |= IS_PACK if is_pack else 0
            at = after(text, at, _WORDS[PACK if is_pack else SINGLE])
        elif field == PACK_ID:
            id_begin, id_end, at = _text(text, at)
            at = at if id_begin < id_end else -1
        elif field == LATE:
            at = at + 1 if text[at] in (FALSE, TRUE) else -1
        elif text[at] == NIL and field >= FIRST_OPTIONAL:
            at += 1
        else:
            number[field], integer, at = _number(text, at)
            seen |= (GIVEN | INTEGER if integer else GIVEN) << field
        if at < 0 or at > end:
            return 0, reading, temp, 0, 0
        left -= 1
    return seen if at == end else 0, reading, temp, id_begin, id_end


@njit(cache=True, nogil=True, error_model="numpy")
def _count(text, at, fixed, counted):  # type: ignore[no-untyped-def]
    """How many a map or an array holds, of up to 15 in its first byte, and where they begin; -1 if it is none."""
    if text[at] & 0xF0 == fixed:
        return np.int64(text[at] & 0x0F), at + 1
    if text[at] == counted:
        return np.int64(_unsigned(text, at + 1, 2)), at + 3
    return np.int64(0), -1


@njit(cache=True, nogil=True, error_model="numpy")
def _text(text, at):  # type: ignore[no-untyped-def]
    """Where a text begins and ends, and what is behind it; -1 if it is not plain."""
    begin, size = at + 1, np.int64(-1)
    if text[at] & 0xE0 == FIXTEXT:
        size = np.int64(text[at] & 0x1F)
    elif text[at] == TEXT8:
        begin, size = at + 2, np.int64(text[at + 1])
    elif text[at] == TEXT16:
        begin, size = at + 3, np.int64(_unsigned(text, at + 1, 2))
    if not 0 <= size <= MAX_ID_BYTES:
        return 0, 0, -1
    for place in range(begin, begin + size):
        if text[place] >= 128:
            return 0, 0, -1
    return begin, begin + size, begin + size


@njit(cache=True, nogil=True, error_model="numpy")
def _behind_name(text, at):  # type: ignore[no-untyped-def]
    """Where the value of a field that is not known begins; -1 if its name is not plain.

    In a longer form than it needs it could be the name of one that is known.
    """
    return _text(text, at)[2] if text[at] & 0xE0 == FIXTEXT else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _behind_list(text, at, end):  # type: ignore[no-untyped-def]
    """What is behind an array that is of no use; -1 if it is not plain."""
    left, at = _count(text, at, FIXLIST, LIST16)
    while left > 0 and 0 < at < end:
        at = _behind_scalar(text, at)
        left -= 1
    return at if left == 0 else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _behind_scalar(text, at):  # type: ignore[no-untyped-def]
    if text[at] in (NIL, FALSE, TRUE):
        return at + 1
    behind = _text(text, at)[2]
    return behind if behind > 0 else _number(text, at)[2]


@njit(cache=True, nogil=True, error_model="numpy")
def _list(text, at, end, out, count):  # type: ignore[no-untyped-def]
    """Numbers and nils from place ``count`` of ``out`` on; how many, and what is behind."""
    size, at = _count(text, at, FIXLIST, LIST16)
    stop = count + size
    if size > MAX_CELLS:
        return count, -1
    while count < stop and 0 < at < end:
        if text[at] == FLOAT32:
            out[count], at = _float32(text, at + 1), at + 5
        elif text[at] == FLOAT64:
            out[count], at = _float64(text, at + 1), at + 9
        elif text[at] == NIL:
            out[count], at = np.nan, at + 1
        else:
            out[count], _, at = _number(text, at)
        count += 1
    return count, (at if count == stop else -1)


@njit(cache=True, nogil=True, error_model="numpy")
def _number(text, at):  # type: ignore[no-untyped-def]
    """A number as float64, whether it is an integer, and where it ends; -1 if it is not plain."""
    byte = np.int64(text[at])
    if byte < FIXMAP:
        return np.float64(byte), True, at + 1
    if byte >= NEGATIVE:
        return np.float64(byte - 256), True, at + 1
    if byte == FLOAT32:
        return np.float64(_float32(text, at + 1)), False, at + 5
    if byte == FLOAT64:
        return _float64(text, at + 1), False, at + 9
    if not UINT8 <= byte < INT8 + 4:
        return 0.0, False, -1
    size = 1 << (byte - UINT8 & 3)
    bits = _unsigned(text, at + 1, size)
    signed = byte >= INT8
    beside = np.uint64(64 - 8 * size if signed else 0)
    integer = np.int64(bits << beside) >> beside  # of 64 bits without a sign the largest half would be negative
    exact = -MAX_EXACT <= integer <= MAX_EXACT and (signed or integer >= 0)
    return np.float64(integer), True, (at + 1 + size if exact else -1)


@njit(cache=True, nogil=True, error_model="numpy")
def _float32(text, at):  # type: ignore[no-untyped-def]
    return np.uint32(_unsigned(text, at, 4)).view(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def _float64(text, at):  # type: ignore[no-untyped-def]
    return np.uint64(_unsigned(text, at, 8)).view(np.float64)


@njit(cache=True, nogil=True, error_model="numpy")
def _unsigned(text, at, size):  # type: ignore[no-untyped-def]
    """The big-endian number in so many bytes."""
    bits = np.uint64(0)
    for place in range(at, at + size):
        bits = bits << np.uint64(8) | np.uint64(text[place])
    return bits
