"""One plain JSON record into the columns, in compiled code.

Plain is an object of known fields, each once, and of others that hold a number, a word, a text or a list of these;
with at most one blank behind a colon or comma, ASCII texts without escapes, and numbers of up to 18 digits.
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

_NAMES = words(*(f'"{name}":'.encode() for name in FIELDS))
_WORDS = words(b"null", b"true", b"false", b'"pack"', b'"cell"')
NULL, TRUE, FALSE, PACK, SINGLE = range(5)
_POWERS = np.array([10**power for power in range(23)], np.float64)  # all that float64 holds exactly
BLANK, QUOTE, PLUS, COMMA, MINUS, POINT, ZERO, NINE, COLON = (*b' "+,-.09:',)
OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN, CLOSE = (*b"[\\]{}",)
E_UPPER, E_LOWER, N_LOWER, T_LOWER = (*b"Eent",)


@njit(cache=True, nogil=True, error_model="numpy")
def json_record(text, at, end, number, voltage_v, reading, temp_degc, temp):  # type: ignore[no-untyped-def]
    """What was seen of one record, 0 if it is not plain; where its readings, temperatures and pack id begin and end.

    Lists go into ``voltage_v`` from ``reading`` on, and into ``temp_degc`` from ``temp`` on. The newline at ``end`` is
    none of what is looked for, so that nothing is read beyond it.
    """
    seen = id_begin = id_end = 0
    last = -1
    more = text[at] == OPEN
    while more:
        at += 1
        if text[at] == BLANK:
            at += 1
        field, value_at = field_at(text, at, last + 1, _NAMES)
        if field < 0:
            value_at = _behind_name(text, at)
        elif seen >> field & 1:
            value_at = -1
        else:
            seen |= 1 << field
            last = field
        if value_at < 0:
            return 0, reading, temp, 0, 0
        at = value_at
        if text[at] == BLANK:
            at += 1
        if field < 0:
            at = _behind_value(text, at)
        elif field == VOLTAGE_V and text[at] == OPEN_LIST:
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
        elif field == LATE:
            at = after(text, at, _WORDS[TRUE if text[at] == T_LOWER else FALSE])
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
    behind = _behind_text(text, at)
    begin, end = at + 1, behind - 1
    return (begin, end, behind) if 0 < end - begin <= MAX_ID_BYTES else (0, 0, -1)


@njit(cache=True, nogil=True, error_model="numpy")
def _behind_text(text, at):  # type: ignore[no-untyped-def]
    """What is behind a text in quotes; -1 if it is not plain."""
    if text[at] != QUOTE:
        return -1
    at += 1
    while BLANK <= text[at] < 128 and text[at] != QUOTE and text[at] != BACKSLASH:
        at += 1
    return at + 1 if text[at] == QUOTE else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _behind_name(text, at):  # type: ignore[no-untyped-def]
    """Where the value of a field that is not known begins; -1 if its name is not plain."""
    at = _behind_text(text, at)
    return at + 1 if at > 0 and text[at] == COLON else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _behind_value(text, at):  # type: ignore[no-untyped-def]
    """What is behind a value that is of no use; -1 if it is not plain."""
    if text[at] != OPEN_LIST:
        return _behind_scalar(text, at)
    if text[at + 1] == CLOSE_LIST:
        return at + 2
    more = True
    while more:
        at += 1
        if text[at] == BLANK:
            at += 1
        at = _behind_scalar(text, at)
        more = at > 0 and text[at] == COMMA
    return at + 1 if at > 0 and text[at] == CLOSE_LIST else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _behind_scalar(text, at):  # type: ignore[no-untyped-def]
    if text[at] == QUOTE:
        return _behind_text(text, at)
    for word in (NULL, TRUE, FALSE):
        behind = after(text, at, _WORDS[word])
        if behind > 0:
            return behind
    return _number(text, at)[2]


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
        value, good = 0.0, byte in (COMMA, CLOSE_LIST) and places > 0 and whole + places < 19
        if good and (whole == 1 or (whole > 1 and text[first] != ZERO)):
            value, good = _decimal(digits, places, False)
        else:
            good = False
        if good:
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
    """A number, whether it is written as an integer, and where it ends; -1 if it is not plain."""
    negative = text[at] == MINUS
    if negative:
        at += 1
    first, digits, places, integer, zeros = at, np.int64(0), 0, True, 0
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
        point = at
        byte = text[at]
        while ZERO <= byte <= NINE:
            digits = digits * 10 + (byte - ZERO)
            zeros += digits == 0
            at += 1
            byte = text[at]
        places = at - point
        written += places
        if places == 0:
            return 0.0, False, -1
    if byte in (E_LOWER, E_UPPER):
        integer = False
        power, at = _power(text, at + 1)
        places -= power
    # Nineteen digits could overflow; a negative zero without a point is a positive one.
    significant = written - zeros - (text[first] == ZERO)
    if at < 0 or significant > 18 or abs(places) > 22 or (negative and integer and digits == 0):
        return 0.0, False, -1
    value, good = _decimal(digits, places, integer)
    return -value if negative else value, integer, at if good else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _decimal(digits, places, integer):  # type: ignore[no-untyped-def]
    """``digits`` / 10**``places`` as the nearest float64, and whether it is that for certain.

    Digits up to 2**53 and powers of ten up to 10**22 are exact in float64, so that one division or product of them is
    rounded correctly (Clinger 1990). Of more digits the quotient's remainder is found (Dekker 1971) and added: it errs
    by less than 2**-50 of itself, so that the sum is certain where it is the same with that much more or less.
    """
    if digits <= MAX_EXACT:
        return (digits / _POWERS[places] if places >= 0 else digits * _POWERS[-places]), True
    if integer or places < 0:
        return 0.0, False
    power = _POWERS[places]
    high = np.float64(digits)
    quotient = high / power
    product, below = _product(quotient, power)
    rest = ((high - product) + (digits - np.int64(high)) - below) / power
    value = quotient + rest * (1.0 - 2.0**-50)
    return value, value == quotient + rest * (1.0 + 2.0**-50)


@njit(cache=True, nogil=True, error_model="numpy")
def _product(one, other):  # type: ignore[no-untyped-def]
    """A product in float64, and by how much it is too small."""
    product = one * other
    split = 2.0**27 + 1.0
    one_high, other_high = split * one, split * other
    one_high, other_high = one_high - (one_high - one), other_high - (other_high - other)
    one_low, other_low = one - one_high, other - other_high
    below = ((one_high * other_high - product) + one_high * other_low + one_low * other_high) + one_low * other_low
    return product, below


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
