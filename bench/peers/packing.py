"""An open minute as bytes, for the peers whose state lies in a store."""

from __future__ import annotations

import struct

import numpy as np

from bench.peers.work import CHANNELS, Minute

_HEAD = struct.Struct("<qqq")
_CELL = struct.Struct("<ddd")


def packed(minute: Minute) -> bytes:
    """Minute, steps, samples, then the sums of each cell."""
    head = _HEAD.pack(minute.minute, minute.steps, minute.samples)
    return head + (_CELL.pack(*minute.sums) if isinstance(minute.sums, tuple) else minute.sums.tobytes())


def unpacked(kept: bytes) -> Minute:
    """What `packed` packed."""
    number, steps, samples = _HEAD.unpack_from(kept)
    if len(kept) == _HEAD.size + _CELL.size:
        voltage_v, rate, temp_degc = _CELL.unpack_from(kept, _HEAD.size)
        return Minute(number, steps, samples, (voltage_v, rate, temp_degc))
    sums = np.frombuffer(kept, np.float64, offset=_HEAD.size).reshape(-1, CHANNELS)
    return Minute(number, steps, samples, sums)
