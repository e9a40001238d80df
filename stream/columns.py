"""Decoded frames as columns: what the step kernels take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.block import FrameBlock
from stream.records import CellSample, PackFrame, Telemetry


def columns(frames: Sequence[Telemetry]) -> FrameBlock:
    """Decoded frames as a block whose slots are still to be filled in."""
    voltages: list[float | None] = []
    temps: list[float | None] = []
    cells: list[int] = []
    probes: list[int] = []
    for frame in frames:
        if type(frame) is PackFrame:
            voltages += frame.voltage_v
            cells.append(len(frame.voltage_v))
            if frame.temp_degc is None:
                probes.append(0)
            else:
                temps += frame.temp_degc
                probes.append(len(frame.temp_degc))
        else:
            assert isinstance(frame, CellSample)
            voltages.append(frame.voltage_v)
            cells.append(1)
            temps.append(frame.temp_degc)
            probes.append(1)
    cell_counts, probe_counts = np.array(cells, np.int64), np.array(probes, np.int64)
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused as such
        return FrameBlock(
            first_slot=np.zeros(len(frames), np.int64),
            cells=cell_counts,
            t_ms=np.array([frame.t_ms for frame in frames], np.int64),
            current_a=np.array([frame.current_a for frame in frames], np.float64).astype(np.float32),
            cycle=np.array([-1 if frame.cycle is None else frame.cycle for frame in frames], np.int32),
            nominal_ah=np.array([frame.nominal_capacity_ah for frame in frames], np.float64).astype(np.float32),
            voltage_start=np.cumsum(cell_counts) - cell_counts,
            voltage_v=np.array(voltages, np.float64).astype(np.float32),
            temp_start=np.cumsum(probe_counts) - probe_counts,
            probes=probe_counts,
            temp_degc=np.array(temps, np.float64).astype(np.float32),
        )
