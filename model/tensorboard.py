"""Scalars in TensorBoard's event file: a sequence of framed, checksummed protocol buffers of three fields each.

The format is small and has not changed in ten years; the package that writes it brings a web server and gRPC.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

FOLDER = "tensorboard"
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_MASK = 0xA282EAD8


class EventFile:
    """A new event file in ``folder``: one for each start of a run, which a viewer reads as one curve. Those of an
    earlier run go, unless this one ``goes_on`` from it.
    """

    def __init__(self, folder: Path, began_s: float, *, goes_on: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in () if goes_on else sorted(folder.glob("events.out.tfevents.*.cyclecast")):
            old.unlink()
        self.path = folder / f"events.out.tfevents.{began_s:017.6f}.cyclecast"
        self.path.write_bytes(framed(event(began_s, file_version="brain.Event:2")))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Appends the scalars of a step, by tag."""
        with self.path.open("ab") as file:
            file.write(framed(event(time.time(), step=step, scalars=scalars)))


def event(wall_s: float, *, step: int = 0, scalars: Mapping[str, float] | None = None, file_version: str = "") -> bytes:
    """An ``Event`` message: wall_time = 1 (double), step = 2 (varint), file_version = 3, summary = 5 of values = 1,
    each of tag = 1 and simple_value = 2 (float).
    """
    parts = [b"\x09", struct.pack("<d", wall_s), b"\x10", _varint(step)]
    if file_version:
        parts.append(_bytes(3, file_version.encode()))
    if scalars:
        values = (_bytes(1, tag.encode()) + b"\x15" + struct.pack("<f", value) for tag, value in scalars.items())
        parts.append(_bytes(5, b"".join(_bytes(1, value) for value in values)))
    return b"".join(parts)


def framed(record: bytes) -> bytes:
    """A record as it lies in the file: length, masked CRC-32C of the length, the record, its masked CRC-32C."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, struct.pack("<I", masked(length)), record, struct.pack("<I", masked(record))))


def crc32c(content: bytes) -> int:
    """CRC-32 by Castagnoli's polynomial (RFC 3720, appendix B.4), bit by bit: records are few and short."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content: bytes) -> int:
    """The checksum as it is stored: a sum that is itself summed would else tell too little."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def _bytes(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
