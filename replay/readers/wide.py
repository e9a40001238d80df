"""The wide form: a car's log with one row a frame and one column a cell, described by a mapping file."""

from __future__ import annotations

import numpy as np

from model.recording import Recording
from replay.readers.columns import Columns
from replay.readers.errors import RecordingError
from replay.readers.mapping import Mapping, Mappings, WideColumns, stem
from replay.readers.truth import open_truth, truth_of


def fits(columns: Columns, mappings: Mappings) -> bool:
    """Whether a mapping describes these columns."""
    mapping = mappings.of(columns.path)
    return mapping.columns is not None and columns.names.issuperset(_required(mapping.columns))


def read(columns: Columns, mappings: Mappings) -> list[Recording]:
    """One recording for each value of the mapping's ``pack_id`` column; rows as they were logged."""
    mapping = mappings.of(columns.path)
    if mapping.columns is None:
        raise RecordingError(columns.path, "no mapping says what its columns mean", "describe them with --map")
    columns.require([*_required(mapping.columns), *([mapping.pack_id] if mapping.pack_id else [])], "wide")
    packs = columns.by(mapping.pack_id) if mapping.pack_id else [(stem(columns.path), columns)]
    return [_recording(part, mapping, mapping.columns, identity) for identity, part in packs]


def _required(wide: WideColumns) -> list[str]:
    cycle = [wide.cycle] if wide.cycle else []
    return [wide.time.column, wide.current.column, *wide.cells.names, *wide.temps, *cycle]


def _recording(columns: Columns, mapping: Mapping, wide: WideColumns, identity: str) -> Recording:
    base_ms = round(mapping.base_time.timestamp() * 1000) if wide.time.relative else 0
    unit_ms = 1.0 if wide.time.unit == "ms" else 1000.0
    sign = 1.0 if wide.current.positive == "charging" else -1.0
    voltage_v = np.stack([columns.doubles(name) for name in wide.cells.names], axis=1) * wide.cells.scale
    if wide.cells.negative == "absolute":
        np.abs(voltage_v, out=voltage_v)
    temp_degc = np.empty((columns.rows, len(wide.temps)), np.float32)
    for probe, name in enumerate(wide.temps):
        temp_degc[:, probe] = columns.floats(name)
    return Recording(
        pack_id=identity,
        kind="pack",
        t_ms=columns.times_ms(wide.time.column, unit_ms=unit_ms, base_ms=base_ms),
        current_a=(columns.doubles(wide.current.column) * (sign * wide.current.scale)).astype(np.float32),
        voltage_v=voltage_v.astype(np.float32),
        temp_degc=temp_degc,
        cycle=columns.counts(wide.cycle) if wide.cycle else np.full(columns.rows, -1, np.int32),
        nominal_capacity_ah=mapping.nominal_capacity_ah,
        chemistry=mapping.chemistry,
        truth=truth_of(open_truth(columns.path), identity, mapping.nominal_capacity_ah),
        source=str(columns.path),
    )
