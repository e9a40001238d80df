"""JSON telemetry straight into columns, in compiled code.

Only what is plain is read here, and that is nearly all: a flat object of known fields, each once, with at most one
blank behind a colon or comma, ASCII pack ids without escapes, and numbers that one exact division or product rounds as
they are to be rounded. Everything else is left to the general decoder, which refuses what is wrong and says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from model.block import FrameBlock
from stream.frames import NO_SLOT, Frames

# The limits of `stream.records`: a cached kernel does not notice when another file changes.
MAX_CELLS = 1024
MAX_ID_BYTES = 256
MAX_EXACT = 2**53
MAX_CYCLE = 2**31 - 1

V, KIND, PACK_ID, CELL, T_MS, CURRENT_A, VOLTAGE_V, TEMP_DEGC, CYCLE, CAPACITY_AH, NOMINAL_AH, SOC_PCT = range(12)
PACK_NEEDS = 1 << KIND | 1 << PACK_ID | 1 << T_MS | 1 << CURRENT_A | 1 << VOLTAGE_V
CELL_NEEDS = PACK_NEEDS | 1 << CELL


def _words(*words: str) -> NDArray[np.uint8]:
    """Words as rows of bytes, uint8 [words, longest + 1], each with a zero behind its end."""
    size = max(map(len, words)) + 1
    return np.frombuffer(b"".join(word.encode().ljust(size, b"\0") for word in words), np.uint8).reshape(-1, size)


NAMES = (
    '"v":',
    '"kind":',
    '"pack_id":',
    '"cell":',
    '"t_ms":',
    '"current_a":',
    '"voltage_v":',
    '"temp_degc":',
    '"cycle":',
    '"capacity_ah":',
    '"nominal_capacity_ah":',
    '"soc_pct":',
)
_NAMES = _words(*NAMES)
_VALUES = _words("null", '"pack"', '"cell"', "1")
NULL, PACK, SINGLE, ONE = range(4)
_POWERS = np.array([10**power for power in range(23)], np.float64)  # all that float64 holds exactly
BLANK, QUOTE, PLUS, COMMA, MINUS, POINT, ZERO, NINE = (*b' "+,-.09',)
OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN, CLOSE = (*b"[\\]{}",)
E_UPPER, E_LOWER, N_LOWER = (*b"Een",)
FNV_PRIME, FNV_BASIS = 1099511628211, 1469598103934665603


def scan(values: Sequence[bytes]) -> Frames:
    """The records among ``values`` that are plain; ``position`` of the answer tells which."""
    count = len(values)
    text = b"\n".join([*values, b""])
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, count) + 1, out=starts[1:])
    most = len(text) // 2 + 1  # a reading takes two bytes at least
    integers = np.empty((9, count), np.int64)
    cells, t_ms, voltage_start, temp_start, probes, pack, cell, position, first_slot = integers
    first_slot[:] = NO_SLOT
    current_a, nominal_ah, capacity_ah = np.empty((3, count), np.float32)
    voltage_v, temp_degc, cycle = np.empty(most, np.float32), np.empty(most, np.float32), np.empty(count, np.int32)
    block = FrameBlock(
        first_slot=first_slot,
        cells=cells,
        t_ms=t_ms,
        current_a=current_a,
        cycle=cycle,
        nominal_ah=nominal_ah,
        capacity_ah=capacity_ah,
        voltage_start=voltage_start,
        voltage_v=voltage_v,
        temp_start=temp_start,
        probes=probes,
        temp_degc=temp_degc,
    )
    ids = np.empty((count, 2), np.int64)
    known = np.full(1 << (2 * count).bit_length(), -1, np.int32)
    frames, readings, temps, packs = _scan(
        np.frombuffer(text, np.uint8), starts, block, pack, cell, position, ids, known
    )
    names = [text[begin:end].decode("ascii") for begin, end in ids[:packs].tolist()]
    block = block.select(slice(frames))._replace(voltage_v=voltage_v[:readings], temp_degc=temp_degc[:temps])
    return Frames(block, pack[:frames], names, cell[:frames], position[:frames])


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(text, starts, block, pack, cell, position, ids, known):  # type: ignore[no-untyped-def]
    """Rows of plain records, one behind the other; returns how many frames, voltages, temperatures and packs."""
    frame = readings = temps = packs = 0
    for record in range(starts.shape[0] - 1):
        plain, to_reading, to_temp, id_begin, id_end = _record(
            text, starts[record], starts[record + 1] - 1, block, cell, frame, readings, temps
        )
        if not plain:
            continue
        pack[frame], packs = _number_of_id(text, id_begin, id_end, ids, packs, known)
        position[frame] = record
        block.voltage_start[frame], block.cells[frame] = readings, to_reading - readings
        block.temp_start[frame], block.probes[frame] = temps, to_temp - temps
        frame, readings, temps = frame + 1, to_reading, to_temp
    return frame, readings, temps, packs


@njit(cache=True, nogil=True, error_model="numpy")
def _record(text, at, end, block, cell, frame, readings, temps):  # type: ignore[no-untyped-def]
    """One record into row ``frame``: whether it is plain, where readings and temperatures end, where its pack id is.

    The newline at ``end`` is none of what is looked for, so that nothing is read beyond it.
    """
    kind = seen = id_begin = id_end = 0
    field = -1
    voltage_list = temp_list = temp_single = False
    to_reading, to_temp = readings, temps
    block.cycle[frame], block.nominal_ah[frame], block.capacity_ah[frame] = -1, np.nan, np.nan
    more = text[at] == OPEN
    while more:
        at += 1
        if text[at] == BLANK:
            at += 1
        field, at = _field(text, at, field + 1)
        if field < 0 or seen >> field & 1:
            return False, readings, temps, 0, 0
        seen |= 1 << field
        if text[at] == BLANK:
            at += 1
        if field == VOLTAGE_V and text[at] == OPEN_LIST:
            voltage_list = True
            to_reading, at = _list(text, at + 1, block.voltage_v, to_reading)
        elif field == TEMP_DEGC and text[at] == OPEN_LIST:
            temp_list = True
            to_temp, at = _list(text, at + 1, block.temp_degc, to_temp)
        elif field == KIND:
            kind = PACK if _after(text, at, _VALUES[PACK]) > 0 else SINGLE
            at = _after(text, at, _VALUES[kind])
        elif field == PACK_ID:
            id_begin, id_end, at = _id(text, at)
        elif field == V:
            at = _after(text, at, _VALUES[ONE])
        elif text[at] == N_LOWER and field >= TEMP_DEGC:
            at = _after(text, at, _VALUES[NULL])
        else:
            value, integer, at = _number(text, at)
            if field == CELL:
                cell[frame] = value
                at = at if integer and 0 <= value < MAX_CELLS else -1
            elif field == T_MS:
                block.t_ms[frame] = value
                at = at if integer and value >= 0 else -1
            elif field == CYCLE:
                at = at if integer and 0 <= value <= MAX_CYCLE else -1
                block.cycle[frame] = value if at > 0 else -1
            elif field == CURRENT_A:
                block.current_a[frame] = value
            elif field == VOLTAGE_V:
                block.voltage_v[to_reading] = value
                to_reading += 1
            elif field == TEMP_DEGC:
                temp_single = True
                block.temp_degc[to_temp] = value
                to_temp += 1
            elif field == NOMINAL_AH:
                block.nominal_ah[frame] = value
                at = at if value > 0 else -1
            elif field == CAPACITY_AH:
                block.capacity_ah[frame] = value
                at = at if value > 0 else -1
        if at < 0:
            return False, readings, temps, 0, 0
        more = text[at] == COMMA
    plain = text[at] == CLOSE and at + 1 == end
    if kind == PACK:
        cell[frame] = -1
        plain &= seen & PACK_NEEDS == PACK_NEEDS and voltage_list and not temp_single and to_reading > readings
    else:
        plain &= seen & CELL_NEEDS == CELL_NEEDS and not voltage_list and not temp_list
        if not temp_single:
            block.temp_degc[to_temp] = np.nan
            to_temp += 1
    return plain, to_reading, to_temp, id_begin, id_end


@njit(cache=True, nogil=True, error_model="numpy")
def _after(text, at, word):  # type: ignore[no-untyped-def]
    """Where a word that stands at ``at`` ends; -1 if it is another."""
    place = 0
    while word[place] != 0:
        if text[at + place] != word[place]:
            return -1
        place += 1
    return at + place


@njit(cache=True, nogil=True, error_model="numpy")
def _field(text, at, guess):  # type: ignore[no-untyped-def]
    """Which field's name stands at ``at``, and where its value begins; -1 if it is none. The guess is tried first."""
    fields = _NAMES.shape[0]
    for turn in range(fields):
        field = (guess + turn) % fields
        value_at = _after(text, at, _NAMES[field])
        if value_at > 0:
            return field, value_at
    return -1, -1


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
            out[count], at = np.nan, _after(text, begin, _VALUES[NULL])
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


@njit(cache=True, nogil=True, error_model="numpy")
def _number_of_id(text, begin, end, ids, packs, known):  # type: ignore[no-untyped-def]
    """Which of the pack ids so far this one is, or the next, and how many there are then. ``known`` is a hash table."""
    mixed = FNV_BASIS
    for at in range(begin, end):
        mixed = (mixed ^ text[at]) * FNV_PRIME
    place = mixed & (known.shape[0] - 1)
    while known[place] >= 0:
        number = known[place]
        other = ids[number, 0]
        same = ids[number, 1] - other == end - begin
        for at in range(begin, end):
            if not same:
                break
            same = text[at] == text[other + at - begin]
        if same:
            return number, packs
        place = (place + 1) & (known.shape[0] - 1)
    known[place] = packs
    ids[packs, 0], ids[packs, 1] = begin, end
    return packs, packs + 1
