"""What is kept of a cell between two samples of cycle steps, as the kernels take it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# One row a cell. Charges in Ah, energies in Wh, times in s; integrals run from the last close to the last sample.
CYCLE_ROW = np.dtype(
    [
        ("t_ms", np.int64),
        ("first_ms", np.int64),
        ("step", np.int64),
        ("first_step", np.int64),
        ("charge_ah", np.float64),
        ("discharge_ah", np.float64),
        ("charge_wh", np.float64),
        ("discharge_wh", np.float64),
        ("charge_s", np.float64),
        ("discharge_s", np.float64),
        ("rest_s", np.float64),
        ("cv_ah", np.float64),
        ("cv_s", np.float64),
        ("temp_degc_s", np.float64),
        ("temp_s", np.float64),
        ("resistance_sum_ohm", np.float64),
        ("charge_run_ah", np.float64),
        ("throughput_ah", np.float64),
        ("voltage_v", np.float32),
        ("current_a", np.float32),
        ("nominal_ah", np.float32),
        ("voltage_max_v", np.float32),
        ("voltage_min_v", np.float32),
        ("temp_max_degc", np.float32),
        ("cc_current_a", np.float32),
        ("rest_start_v", np.float32),
        ("relaxation_v", np.float32),
        ("resistance_count", np.int32),
        ("cycle", np.int32),
        ("flags", np.uint8),
    ],
    align=True,
)


class CycleArrays(NamedTuple):
    """One of everything for each cell, as the kernels take it.

    rows: `CYCLE_ROW` [slots]. bins, reference_bins: float32 [slots, 2, B], charge (Ah) in and out by voltage, of the
    open cycle and (relative to nominal) summed over the cell's first cycles; reference_bins_count: uint8 alike.
    reference_sum: float32 [slots, 5] and reference_count: uint8 alike, of the channels that have a ``_vs_reference``.
    crossings: `CROSSING` [slots, 2], of voltage and current through the charge window; [slots, 0] where there is none.
    ring: float32 [slots, L, C].
    """

    rows: NDArray[np.void]
    bins: NDArray[np.float32]
    reference_bins: NDArray[np.float32]
    reference_bins_count: NDArray[np.uint8]
    reference_sum: NDArray[np.float32]
    reference_count: NDArray[np.uint8]
    crossings: NDArray[np.void]
    ring: NDArray[np.float32]


class CycleRule(NamedTuple):
    """The parameters of `CycleSteps` as the kernels take them."""

    close_on: int
    max_gap_s: float
    min_depth: float
    bin_low_v: float
    bin_width_v: float
    reference_cycles: int
    nominal_ah: float
    windowed: bool
    window_low_v: float
    window_high_v: float
    window_high_rate: float
    window_low_rate: float
