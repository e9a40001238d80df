"""Decoded records as columns: what the step kernels take, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock, joined
from stream.pack_ids import PackIds
from stream.records import CellSample, PackFrame, Telemetry

NO_SLOT = -1


class Frame(NamedTuple):
    """Who one frame speaks of: ``cell`` is -1 where of all ``cells`` of a pack."""

    pack_id: str
    cell: int
    cells: int
    t_ms: int


class Frames(NamedTuple):
    """The records of a polled batch that could be read, in order.

    block: slots are still to be filled in (-1). pack: int64 [f], which of ``pack_ids``.
    cell: int64 [f], -1 in a pack frame. position: int64 [f], of the record in the batch.
    """

    block: FrameBlock
    pack: NDArray[np.int64]
    pack_ids: PackIds
    cell: NDArray[np.int64]
    position: NDArray[np.int64]

    def frame(self, at: int) -> Frame:
        """Who the frame at a place speaks of."""
        block = self.block
        return Frame(self.pack_ids.name(self.pack[at]), int(self.cell[at]), int(block.cells[at]), int(block.t_ms[at]))


def frames_of(telemetry: Sequence[Telemetry], position: Sequence[int] | None = None) -> Frames:
    """Decoded records as columns; ``position`` gives their places in the batch, if some of it are not there."""
    voltages: list[float | None] = []
    temps: list[float | None] = []
    cells: list[int] = []
    probes: list[int] = []
    cell: list[int] = []
    for frame in telemetry:
        if type(frame) is PackFrame:
            voltages += frame.voltage_v
            cells.append(len(frame.voltage_v))
            cell.append(-1)
            if frame.temp_degc is None:
                probes.append(0)
            else:
                temps += frame.temp_degc
                probes.append(len(frame.temp_degc))
        else:
            assert isinstance(frame, CellSample)
            voltages.append(frame.voltage_v)
            cells.append(1)
            cell.append(frame.cell)
            temps.append(frame.temp_degc)
            probes.append(1)
    cell_counts, probe_counts = np.array(cells, np.int64), np.array(probes, np.int64)
    numbers: dict[str, int] = {}
    pack = [numbers.setdefault(frame.pack_id, len(numbers)) for frame in telemetry]
    with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused as such
        block = FrameBlock(
            first_slot=np.full(len(telemetry), NO_SLOT, np.int64),
            cells=cell_counts,
            t_ms=np.array([frame.t_ms for frame in telemetry], np.int64),
            current_a=np.array([frame.current_a for frame in telemetry], np.float64).astype(np.float32),
            cycle=np.array([-1 if frame.cycle is None else frame.cycle for frame in telemetry], np.int32),
            nominal_ah=np.array([frame.nominal_capacity_ah for frame in telemetry], np.float64).astype(np.float32),
            capacity_ah=np.array([frame.capacity_ah for frame in telemetry], np.float64).astype(np.float32),
            voltage_start=np.cumsum(cell_counts) - cell_counts,
            voltage_v=np.array(voltages, np.float64).astype(np.float32),
            temp_start=np.cumsum(probe_counts) - probe_counts,
            probes=probe_counts,
            temp_degc=np.array(temps, np.float64).astype(np.float32),
        )
    places = np.arange(len(telemetry)) if position is None else np.array(position, np.int64)
    return Frames(block, np.array(pack, np.int64), PackIds.of(list(numbers)), np.array(cell, np.int64), places)


def merged(first: Frames, second: Frames) -> Frames:
    """Frames of the same batch in one, in the order of the batch."""
    if not len(second.position):
        return first
    if not len(first.position):
        return second
    position = np.concatenate((first.position, second.position))
    order = np.argsort(position)
    numbers = {pack_id: number for number, pack_id in enumerate(first.pack_ids.names())}
    renumbered = np.array([numbers.setdefault(pack_id, len(numbers)) for pack_id in second.pack_ids.names()], np.int64)
    return Frames(
        block=joined((first.block, second.block)).gathered(order),
        pack=np.concatenate((first.pack, renumbered[second.pack]))[order],
        pack_ids=PackIds.of(list(numbers)),
        cell=np.concatenate((first.cell, second.cell))[order],
        position=position[order],
    )
