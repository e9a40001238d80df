"""Tables of one row a cycle: sixteen statistics of the end of a CC-CV charge, and the capacity measured after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from bench.accuracy.cell import Floats, Ints

STATISTICS = (
    "voltage_mean", "voltage_std", "voltage_kurtosis", "voltage_skewness",
    "cc_q", "cc_charge_time", "voltage_slope", "voltage_entropy",
    "current_mean", "current_std", "current_kurtosis", "current_skewness",
    "cv_q", "cv_charge_time", "current_slope", "current_entropy",
)  # fmt: skip
NOMINAL_AH = {"hust": 1.1, "mit": 1.1, "xjtu": 2.0}
_LOGARITHMIC = ("cc_q", "cc_charge_time", "cv_q", "cv_charge_time")


@dataclass(frozen=True, slots=True)
class Life:
    """One cell: statistics float64 [k, 16] (charges and times as logarithms, NaN where a file holds nonsense), its
    cycles, and its capacity over the rated one [k].
    """

    cell_id: str
    group: str
    statistics: Floats
    cycle: Ints
    soh: Floats

    def stretched(self, pace: float) -> Life:
        """The same fade over ``pace`` times as many cycles: each of them shows what the nearest one did."""
        count = round(pace * len(self.soh))
        near = np.linspace(0, len(self.soh) - 1, count).round().astype(np.int64)
        return replace(self, statistics=self.statistics[near], cycle=np.arange(1, count + 1), soh=self.soh[near])


def lives(folder: Path, name: str) -> list[Life]:
    """All cells of ``percycle/<name>.parquet``, in the file's order. The group is what stands before ``_battery``."""
    table = pq.read_table(folder / "percycle" / f"{name}.parquet")
    names = np.asarray(table["cell_id"].to_pylist())
    columns = [_cleaned(statistic, table[statistic].to_numpy()) for statistic in STATISTICS]
    statistics, cycle = np.stack(columns, 1), table["cycle"].to_numpy()
    soh = table["discharge_capacity_ah"].to_numpy().astype(np.float64) / NOMINAL_AH[name]
    found = []
    for cell_id in dict.fromkeys(names):
        own = names == cell_id
        group = str(cell_id).rsplit("_battery", 1)[0] if "_battery" in cell_id else name
        found.append(Life(str(cell_id), group, statistics[own], cycle[own].astype(np.int64), soh[own]))
    return found


def _cleaned(statistic: str, values: np.ndarray) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(values.astype(np.float64)) if statistic in _LOGARITHMIC else values.astype(np.float64)
    return np.where(np.isfinite(found), found, np.nan)
