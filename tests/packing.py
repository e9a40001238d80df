"""Msgpack with readings in four bytes, as libraries of C and Rust pack what is a float, and Python's when asked to."""

from __future__ import annotations

import struct
from typing import Any

import msgspec


def single(value: Any) -> bytes:
    """As msgspec packs it, but floats as float32: what ``msgpack.packb(value, use_single_float=True)`` gives."""
    if isinstance(value, float):
        return struct.pack(">Bf", 0xCA, value)
    if isinstance(value, list):
        return sized(0x90, 0xDC, len(value)) + b"".join(map(single, value))
    if isinstance(value, dict):
        return sized(0x80, 0xDE, len(value)) + b"".join(single(name) + single(each) for name, each in value.items())
    return msgspec.msgpack.encode(value)


def sized(fixed: int, counted: int, size: int) -> bytes:
    """How an array or a map of this size begins."""
    return bytes([fixed | size]) if size < 16 else struct.pack(">BH", counted, size)
