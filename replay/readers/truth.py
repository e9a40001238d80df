"""Truth companions: ``<recording>.cycles.parquet`` or ``<recording>.truth.parquet``, one row a measured capacity."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.recording import Truth
from replay.readers.columns import Columns, open_columns
from replay.readers.errors import RecordingError
from replay.readers.mapping import stem

_KINDS = (".truth.parquet", ".cycles.parquet", ".truth.csv", ".cycles.csv")
# A capacity beyond these parts of the nominal one is a slip of the tester, not a state of the cell.
_PLAUSIBLE = (0.1, 1.5)


def is_companion(path: Path) -> bool:
    """Whether the file belongs to a recording rather than being one."""
    return path.name.endswith(_KINDS)


def open_truth(recording: Path) -> Columns | None:
    """The columns of the companion that lies beside a recording, if there is one."""
    candidates = (recording.with_name(stem(recording) + kind) for kind in _KINDS)
    found = next((path for path in candidates if path.is_file()), None)
    return None if found is None else open_columns(found)


def truth_of(columns: Columns | None, identity: str, nominal_capacity_ah: float | None) -> Truth | None:
    """The capacities that can be trusted: marked valid where a mark exists, finite, positive and plausible."""
    if columns is None:
        return None
    capacity = next((name for name in ("capacity_ah", "discharge_capacity_ah") if name in columns.names), None)
    if capacity is None or "cycle" not in columns.names:
        missing = "cycle" if capacity else "capacity_ah"
        raise RecordingError(columns.path, f"column '{missing}' is missing", "a truth file has cycle and capacity_ah")
    capacity_ah, cycle = columns.floats(capacity), columns.counts("cycle")
    cell = columns.counts("cell") if "cell" in columns.names else np.zeros(columns.rows, np.int32)
    keep = np.isfinite(capacity_ah) & (capacity_ah > 0) & (cycle >= 0) & (cell >= 0)
    if "cell_id" in columns.names:
        keep &= columns.equal("cell_id", identity)
    if "valid" in columns.names:
        keep &= columns.flags("valid")
    if nominal_capacity_ah is not None:
        low, high = _PLAUSIBLE
        keep &= (capacity_ah >= low * nominal_capacity_ah) & (capacity_ah <= high * nominal_capacity_ah)
    cell, cycle, capacity_ah = cell[keep], cycle[keep], capacity_ah[keep]
    order = np.lexsort((cycle, cell))
    return Truth(cell[order], cycle[order], capacity_ah[order])
