"""The tidy form: one row a sample of a single cell, with ``test_time_s``, ``voltage_v``, ``current_a``."""

from __future__ import annotations

import numpy as np

from model.recording import Recording
from replay.readers.columns import Columns
from replay.readers.mapping import Mappings, stem
from replay.readers.truth import open_truth, truth_of

REQUIRED = ("test_time_s", "voltage_v", "current_a")


def fits(columns: Columns) -> bool:
    """Whether the columns are those of this form."""
    return columns.names.issuperset(REQUIRED)


def read(columns: Columns, mappings: Mappings) -> list[Recording]:
    """One recording for each ``cell_id`` (the file's stem where there is none), rows as they were recorded.

    Readings are not cleaned: what was recorded is what the stream must face.
    """
    columns.require(REQUIRED, "tidy")
    truth = open_truth(columns.path)
    cells = columns.by("cell_id") if "cell_id" in columns.names else [(stem(columns.path), columns)]
    return [_recording(part, mappings, identity, truth) for identity, part in cells]


def _recording(columns: Columns, mappings: Mappings, identity: str, truth: Columns | None) -> Recording:
    mapping = mappings.of(columns.path, identity)
    if "epoch_s" in columns.names:
        t_ms = columns.times_ms("epoch_s", unit_ms=1000.0)
    else:
        base_ms = round(mapping.base_time.timestamp() * 1000)
        t_ms = columns.times_ms("test_time_s", unit_ms=1000.0, base_ms=base_ms)
    temp_degc = np.empty((columns.rows, 0), np.float32)
    if "temperature_c" in columns.names:
        readings = columns.floats("temperature_c")
        if not np.isnan(readings).all():  # a column without any reading is no probe
            temp_degc = readings[:, None]
    unknown = np.full(columns.rows, -1, np.int32)
    return Recording(
        pack_id=identity,
        kind="cell",
        t_ms=t_ms,
        current_a=columns.floats("current_a"),
        voltage_v=columns.floats("voltage_v")[:, None],
        temp_degc=temp_degc,
        cycle=columns.counts("cycle") if "cycle" in columns.names else unknown,
        nominal_capacity_ah=mapping.nominal_capacity_ah,
        chemistry=mapping.chemistry,
        truth=truth_of(truth, identity, mapping.nominal_capacity_ah),
        source=str(columns.path),
    )
