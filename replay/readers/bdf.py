"""The Battery Data Format: tester columns named ``Quantity / unit``, current positive when charging."""

from __future__ import annotations

from model.recording import Recording
from replay.readers import tidy
from replay.readers.columns import Columns
from replay.readers.mapping import Mappings

REQUIRED = ("Test Time / s", "Voltage / V", "Current / A")
_TIDY = {
    "Test Time / s": "test_time_s",
    "Unix Time / s": "epoch_s",
    "Voltage / V": "voltage_v",
    "Current / A": "current_a",
    "Cycle Count / 1": "cycle",
    "Surface Temperature / degC": "temperature_c",
}


def fits(columns: Columns) -> bool:
    """Whether the columns are those of this form."""
    return columns.names.issuperset(REQUIRED)


def read(columns: Columns, mappings: Mappings) -> list[Recording]:
    """One recording named by the file's stem (or by a ``cell_id`` column); ``Unix Time / s`` wins over test time."""
    columns.require(REQUIRED, "bdf")
    names = [_TIDY.get(name, name) for name in columns.table.column_names]
    return tidy.read(Columns(columns.path, columns.table.rename_columns(names)), mappings)
