"""Telemetry straight into columns, in compiled code.

Only what is plain is read here, and that is nearly all; `stream.json_record` and `stream.msgpack_record` say what it
is. Everything else is left to the general decoder, which refuses what is wrong and says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from model.block import FrameBlock
from stream.frames import NO_SLOT, Frames
from stream.json_record import json_record
from stream.msgpack_record import FIXMAP, MAX_STEP_BYTES, msgpack_record
from stream.pack_ids import NONE, PackIds, home_of, place_of
from stream.row import (
    CAPACITY_AH,
    CELL,
    CURRENT_A,
    CYCLE,
    FIELDS,
    IS_PACK,
    NOMINAL_AH,
    T_MS,
    TEMP_DEGC,
    VOLTAGE_V,
    is_row,
    number_or,
)

ANY, JSON, MSGPACK = range(3)  # what a record is said to be; JSON never begins as a map of msgpack does
_END = bytes(MAX_STEP_BYTES)


def scan(values: Sequence[bytes], form: NDArray[np.uint8] | None = None) -> Frames:
    """The records among ``values`` that are plain; ``position`` of the answer tells which.

    form: uint8 [len(values)], `ANY`, `JSON` or `MSGPACK`; any by default.
    """
    count = len(values)
    form = np.zeros(count, np.uint8) if form is None else form
    text = b"\n".join([*values, _END])
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, count) + 1, out=starts[1:])
    most = len(text)  # a reading takes one byte at least
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
    ids = PackIds(np.frombuffer(text, np.uint8), np.empty((count, 2), np.int64))
    table = np.full(1 << (2 * count).bit_length(), NONE, np.int32)
    frames, readings, temps, packs = _scan(ids.text, starts, form, block, pack, cell, position, ids.spans, table)
    block = block.select(slice(frames))._replace(voltage_v=voltage_v[:readings], temp_degc=temp_degc[:temps])
    return Frames(block, pack[:frames], ids._replace(spans=ids.spans[:packs]), cell[:frames], position[:frames])


@njit(cache=True, nogil=True, error_model="numpy")
def _scan(text, starts, form, block, pack, cell, position, spans, table):  # type: ignore[no-untyped-def]
    """Rows of plain records, one behind the other; returns how many frames, voltages, temperatures and packs."""
    frame = reading = temp = packs = 0
    number = np.empty(len(FIELDS))
    voltage_v, temp_degc = block.voltage_v, block.temp_degc
    for record in range(starts.shape[0] - 1):
        at, end = starts[record], starts[record + 1] - 1
        if form[record] == MSGPACK or (form[record] == ANY and text[at] >= FIXMAP):
            found = msgpack_record(text, at, end, number, voltage_v, reading, temp_degc, temp)
        else:
            found = json_record(text, at, end, number, voltage_v, reading, temp_degc, temp)
        seen, to_reading, to_temp, id_begin, id_end = found
        if not is_row(seen, number, to_reading - reading):
            continue
        if seen & IS_PACK:
            cell[frame] = -1
        else:
            cell[frame] = number[CELL]
            voltage_v[to_reading], temp_degc[to_temp] = number[VOLTAGE_V], number_or(np.nan, TEMP_DEGC, seen, number)
            to_reading, to_temp = to_reading + 1, to_temp + 1
        block.t_ms[frame], block.current_a[frame] = number[T_MS], number[CURRENT_A]
        block.cycle[frame] = number_or(-1.0, CYCLE, seen, number)
        block.nominal_ah[frame] = number_or(np.nan, NOMINAL_AH, seen, number)
        block.capacity_ah[frame] = number_or(np.nan, CAPACITY_AH, seen, number)
        block.voltage_start[frame], block.cells[frame] = reading, to_reading - reading
        block.temp_start[frame], block.probes[frame] = temp, to_temp - temp
        home = home_of(text, id_begin, id_end, table)
        place = place_of(text, id_begin, id_end, home, table, text, spans)
        if table[place] == NONE:
            table[place] = packs
            spans[packs, 0], spans[packs, 1] = id_begin, id_end
            packs += 1
        pack[frame] = table[place]
        position[frame] = record
        frame, reading, temp = frame + 1, to_reading, to_temp
    return frame, reading, temp, packs
