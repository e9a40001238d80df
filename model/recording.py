"""The neutral form of recorded batteries: columns, units, identity, event time and, where known, the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Truth:
    """Measured capacities, one row a (cell, cycle); rows that are not to be trusted are left out by the reader.

    cell: int32 [n]; cycle: int32 [n], ascending within a cell; capacity_ah: float32 [n], finite and positive.
    """

    cell: NDArray[np.int32]
    cycle: NDArray[np.int32]
    capacity_ah: NDArray[np.float32]

    def of_cell(self, cell: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The cycles (int32 [k]) and capacities (float32 [k], Ah) of one cell."""
        mine = self.cell == cell
        return self.cycle[mine], self.capacity_ah[mine]


@dataclass(frozen=True, slots=True)
class Recording:
    """One pack, or one single cell, over time. Rows are in the order in which they were recorded.

    ``kind`` is how it travels: a ``pack`` as frames of all its cells, a ``cell`` (then it has one) as cell samples.
    t_ms: int64 [n], UTC epoch. current_a: float32 [n], positive when charging. voltage_v: float32 [n, cells], NaN where
    the reading is invalid. temp_degc: float32 [n, probes], NaN likewise; probes may be 0. cycle: int32 [n], -1 unknown.
    """

    pack_id: str
    kind: Literal["pack", "cell"]
    t_ms: NDArray[np.int64]
    current_a: NDArray[np.float32]
    voltage_v: NDArray[np.float32]
    temp_degc: NDArray[np.float32]
    cycle: NDArray[np.int32]
    nominal_capacity_ah: float | None = None
    chemistry: str | None = None
    truth: Truth | None = None
    source: str = ""

    @property
    def cells(self) -> int:
        """Cells in series."""
        return int(self.voltage_v.shape[1])

    @property
    def frames(self) -> int:
        """Rows: each is one record on the wire."""
        return int(self.t_ms.shape[0])
