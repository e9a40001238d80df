"""One plain JSON record into the columns, in compiled code.

Plain is a flat object of known fields, each once, with at most one blank behind a colon or comma, ASCII pack ids
without escapes, and numbers that one exact division or product rounds as they are to be rounded.
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

_NAMES = words(*(f'"{name}":'.encode() for name in FIELDS))
_WORDS = words(b"null", b'"pack"', b'"cell"')
NULL, PACK, SINGLE = range(3)
_POWERS = np.array([10**power for power in range(23)], np.float64)  # all that float64 holds exactly
BLANK, QUOTE, PLUS, COMMA, MINUS, POINT, ZERO, NINE = (*b' "+,-.09',)
OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN, CLOSE = (*b"[\\]{}",)
E_UPPER, E_LOWER, N_LOWER = (*b"Een",)


@njit(cache=True, nogil=True, error_model="numpy")
def json_record(text, at, end, number, voltage_v, reading, temp_degc, temp):  # type: ignore[no-untyped-def]
    """What was seen of one record, 0 if it is not plain; where its readings, temperatures and pack id begin and end.

    Lists go into ``voltage_v`` from ``reading`` on, and into ``temp_degc`` from ``temp`` on. The newline at ``end`` is
    none of what is looked for, so that nothing is read beyond it.
    """
    seen = id_begin = id_end = 0
    field = -1
    more = text[at] == OPEN
    while more:
        at += 1
        if text[at] == BLANK:
            at += 1
        field, at = field_at(text, at, field + 1, _NAMES)
        if field < 0 or seen >> field & 1:
            return 0, reading, temp, 0, 0
        seen |= 1 << field
        if text[at] == BLANK:
            at += 1
        if field == VOLTAGE_V and text[at] == OPEN_LIST:
            seen |= VOLTAGE_LIST
            reading, at = _list(text, at + 1, voltage_v, reading)
        elif field == TEMP_DEGC and text[at] == OPEN_LIST:
            seen |= TEMP_LIST
            temp, at = _list(text, at + 1, temp_degc, temp)
        elif field == KIND:
            is_pack = after(text, at, _WORDS[PACK]) > 0
            seen |= IS_PACK if is_pack else 0
            at = after(text, at, _WORDS[PACK if is_pack else SINGLE])
        elif field == PACK_ID:
            id_begin, id_end, at = _id(text, at)
        elif text[at] == N_LOWER and field >= FIRST_OPTIONAL:
            at = after(text, at, _WORDS[NULL])
        else:
            number[field], integer, at = _number(text, at)
            seen |= (GIVEN | INTEGER if integer else GIVEN) << field
        if at < 0:
            return 0, reading, temp, 0, 0
        more = text[at] == COMMA
    return seen if text[at] == CLOSE and at + 1 == end else 0, reading, temp, id_begin, id_end


@njit(cache=True, nogil=True, error_model="numpy")
def _id(text, at):  # type: ignore[no-untyped-def]
    """Where the text of a pack id begins and ends, and what is behind it; -1 if it is not plain."""
    begin = end = at + 1
    if text[at] == QUOTE:
        while BLANK <= text[end] < 128 and text[end] != QUOTE and text[end] != BACKSLASH:
            end += 1
        if text[end] == QUOTE and 0 < end - begin <= MAX_ID_BYTES:
            return begin, end, end + 1
    return 0, 0, -1


@njit(cache=True, nogil=True, error_model="numpy")
def _list(text, at, out, count):  # type: ignore[no-untyped-def]
    """Numbers and nulls up to the closing bracket, from place ``count`` of ``out`` on; how many, and what is behind."""
    if text[at] == CLOSE_LIST:
        return count, at + 1
    most = count + MAX_CELLS
    while count < most:
        # Nearly all readings are a few digits with a point: read here, since a call for each would double the time.
        begin, byte, digits, places = at, text[at], np.int64(0), 0
        negative = byte == MINUS
        if negative:
            at += 1
            byte = text[at]
        first = at
        while ZERO <= byte <= NINE:
            digits = digits * 10 + (byte - ZERO)
            at += 1
            byte = text[at]
        whole = at - first
        if byte == POINT:
            at += 1
            point = at
            byte = text[at]
            while ZERO <= byte <= NINE:
                digits = digits * 10 + (byte - ZERO)
                at += 1
                byte = text[at]
            places = at - point
        ends = byte in (COMMA, CLOSE_LIST)
        if ends and places > 0 and whole + places < 16 and (whole == 1 or (whole > 1 and text[first] != ZERO)):
            value = digits / _POWERS[places]
            out[count] = -value if negative else value
        elif text[begin] == N_LOWER:
            out[count], at = np.nan, after(text, begin, _WORDS[NULL])
        else:
            out[count], _, at = _number(text, begin)
        if at < 0:
            break
        count += 1
        if text[at] == CLOSE_LIST:
            return count, at + 1
        if text[at] != COMMA:
            break
        at += 1
        if text[at] == BLANK:
            at += 1
    return count, -1


@njit(cache=True, nogil=True, error_model="numpy")
def _number(text, at):  # type: ignore[no-untyped-def]
    """A number, whether it is written as an integer, and where it ends; -1 if it is not plain.

    Digits up to 2**53 and powers of ten up to 10**22 are exact in float64, so that one division or product of them is
    rounded correctly (Clinger 1990).
    """
    negative = text[at] == MINUS
    if negative:
        at += 1
    first, digits, places, integer = at, np.int64(0), 0, True
    byte = text[at]
    while ZERO <= byte <= NINE:
        digits = digits * 10 + (byte - ZERO)
        at += 1
        byte = text[at]
    written = at - first
    if written == 0 or (written > 1 and text[first] == ZERO):
        return 0.0, False, -1
    if byte == POINT:
        integer = False
        at += 1
        first = at
        byte = text[at]
        while ZERO <= byte <= NINE:
            digits = digits * 10 + (byte - ZERO)
            at += 1
            byte = text[at]
        places = at - first
        written += places
        if places == 0:
            return 0.0, False, -1
    if byte in (E_LOWER, E_UPPER):
        integer = False
        power, at = _power(text, at + 1)
        places -= power
    # Nineteen digits could overflow; a negative zero without a point is a positive one.
    if at < 0 or written > 18 or digits > MAX_EXACT or abs(places) > 22 or (negative and integer and digits == 0):
        return 0.0, False, -1
    value = digits / _POWERS[places] if places >= 0 else digits * _POWERS[-places]
    return -value if negative else value, integer, at


@njit(cache=True, nogil=True, error_model="numpy")
def _power(text, at):  # type: ignore[no-untyped-def]
    """The power of ten behind an ``e``, and where it ends; -1 if it is not plain."""
    down = text[at] == MINUS
    if down or text[at] == PLUS:
        at += 1
    first, power = at, 0
    while ZERO <= text[at] <= NINE:
        power = power * 10 + (text[at] - ZERO)
        at += 1
    return (-power if down else power), (at if 0 < at - first < 3 else -1)
