"""The fleet form: Parquet with one row a frame of a whole pack, readings as lists, event time in ``t_ms``."""

from __future__ import annotations

import numpy as np

from model.recording import Recording
from replay.readers.columns import Columns
from replay.readers.errors import RecordingError
from replay.readers.mapping import Mappings, stem
from replay.readers.truth import open_truth, truth_of

REQUIRED = ("t_ms", "current_a", "voltage_v")


def fits(columns: Columns) -> bool:
    """Whether the columns are those of this form."""
    return columns.names.issuperset(REQUIRED)


def read(columns: Columns, mappings: Mappings) -> list[Recording]:
    """One recording for each ``pack_id``. What the schema says of itself wins over a built-in mapping."""
    columns.require(REQUIRED, "fleet")
    truth = open_truth(columns.path)
    packs = columns.by("pack_id") if "pack_id" in columns.names else [(stem(columns.path), columns)]
    return [_recording(part, mappings, identity, truth) for identity, part in packs]


def _recording(columns: Columns, mappings: Mappings, identity: str, truth: Columns | None) -> Recording:
    mapping = mappings.of(columns.path, identity)
    stated = _nominal_capacity_ah(columns)
    own = mappings.own is not None and mapping is mappings.own
    nominal_capacity_ah = mapping.nominal_capacity_ah or stated if own else stated or mapping.nominal_capacity_ah
    empty = np.empty((columns.rows, 0), np.float32)
    return Recording(
        pack_id=identity,
        kind="pack",
        t_ms=columns.times_ms("t_ms", unit_ms=1.0),
        current_a=columns.floats("current_a"),
        voltage_v=columns.lists("voltage_v"),
        temp_degc=columns.lists("temp_degc") if "temp_degc" in columns.names else empty,
        cycle=columns.counts("cycle") if "cycle" in columns.names else np.full(columns.rows, -1, np.int32),
        nominal_capacity_ah=nominal_capacity_ah,
        chemistry=columns.metadata.get("chemistry") or mapping.chemistry,
        truth=truth_of(truth, identity, nominal_capacity_ah),
        source=str(columns.path),
    )


def _nominal_capacity_ah(columns: Columns) -> float | None:
    text = columns.metadata.get("nominal_capacity_ah")
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        problem = f"metadata 'nominal_capacity_ah' is {text!r}"
        raise RecordingError(columns.path, problem, "write a positive number of ampere-hours")
    return value
