"""Bytes to columns, JSON beside msgpack, against checking the same JSON without making anything of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from bench.core import best_rates
from bench.flow import records
from bench.load import Load
from bench.table import Row
from stream.codec import Codec
from stream.seams import Record
from tests.packing import single

OWN = {"vendor": "x", "soh_bms": 0.97, "balancing": [0, 1, 0, 0], "late": False}
LOADS = {
    "pack frames of 96 cells": Load(packs=40, cells=96, frames=50, partitions=1),
    "a record a cell": Load(packs=20, cells=96, frames=1, partitions=1, by_cell=True),
}


def rows() -> Iterator[Row]:
    """Records per second, decoded and turned into columns; the bytes of one are in the name."""
    for name, load in LOADS.items():
        values = [sent.value for sent in load.sent()]
        objects = [msgspec.json.decode(value) for value in values]
        forms = {
            "JSON": records(values),
            "JSON, all digits of doubles": records([msgspec.json.encode(_scaled(each)) for each in objects]),
            "JSON, fields of one's own": records([msgspec.json.encode({**OWN, **each}) for each in objects]),
            "msgpack, doubles": records(list(map(msgspec.msgpack.encode, objects))),
            "msgpack, float32": records(list(map(single, objects))),
        }
        roof, *rates = best_rates(
            (len(values), partial(_checked, values)),
            *((len(values), partial(_columns, taken)) for taken in forms.values()),
        )
        for (form, taken), rate in zip(forms.items(), rates, strict=True):
            path = f"decode {name}, {form} ({np.mean([len(record.value or b'') for record in taken]):.0f} B)"
            yield Row(path, "records", "the JSON checked only", roof, rate)


def _scaled(record: dict[str, Any]) -> dict[str, Any]:
    """Readings as a gateway makes them of counts: mostly sixteen or seventeen digits."""
    counts = np.rint(np.asarray(record["voltage_v"]) * 10_000)
    return {**record, "voltage_v": (counts * 0.0001).tolist()}


def _checked(values: Sequence[bytes]) -> None:
    check = msgspec.json.Decoder(msgspec.Raw).decode
    for value in values:
        check(value)


def _columns(taken: Sequence[Record]) -> None:
    frames, refused = Codec(2**20).decode(taken)
    assert not refused
    assert frames.block.frames == len(taken)
