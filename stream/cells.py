"""All cells of one partition: who they are, and which slot of the state is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock
from model.growth import grown
from model.plausibility import mask_implausible
from model.schema import CycleSteps, SampleSteps
from model.steps import new_state
from model.windows import WindowBatch
from stream.records import CellSample, PackFrame, Telemetry
from stream.refusal import EARLIEST_MS, Reason, Refusal, why_implausible


class Admitted(NamedTuple):
    """Frames that can be folded into the state. offset: int64 [f], where each came from."""

    block: FrameBlock
    offset: NDArray[np.int64]


@dataclass(slots=True)
class Pack:
    """A pack's place in the state: one run of slots for frames, or a slot for each cell that reports by itself."""

    index: int
    cells: int
    first_slot: int
    slot_of_cell: dict[int, int] | None = field(default=None)


class Cells:
    """The step state of all cells of one partition, and their identities."""

    def __init__(self, steps: SampleSteps | CycleSteps, *, future_tolerance_s: float, max_cells: int) -> None:
        self.max_cells = max_cells
        self.future_tolerance_ms = round(future_tolerance_s * 1000)
        self.state = new_state(steps)
        self.packs: dict[str, Pack] = {}
        self.pack_ids: list[str] = []
        self.next_offset: int | None = None  # of the input; none while a polled batch is half folded in
        self._pack_of_slot = np.zeros(0, np.int32)
        self._cell_of_slot = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return self.state.slots

    def owner(self, slot: int) -> tuple[str, int]:
        """The pack and the cell that a slot belongs to."""
        return self.pack_ids[self._pack_of_slot[slot]], int(self._cell_of_slot[slot])

    def update(
        self, admitted: Admitted, cursor: NDArray[np.int64], out: WindowBatch, filled: int, *, emit: bool
    ) -> int:
        """Folds admitted frames into the state; see ``model.steps.StepState.update``."""
        return self.state.update(admitted.block, cursor, out, filled, emit=emit)

    def admit(
        self,
        frames: Sequence[Telemetry],
        index: Sequence[int],
        offset: NDArray[np.int64],
        received_ms: NDArray[np.int64],
    ) -> tuple[Admitted, list[Refusal]]:
        """Columns and slots for decoded frames; a refusal for each that physics or the pack's own past speaks against.

        ``index`` gives each frame's position in its polled batch; offset and received_ms: int64 [len(frames)].
        """
        block = columns(frames)
        usable = mask_implausible(block)
        usable &= (block.t_ms >= EARLIEST_MS) & (block.t_ms <= received_ms + self.future_tolerance_ms)
        refused: list[Refusal] = []
        first_slot = block.first_slot
        for position, frame in enumerate(frames):
            place = self._place(frame) if usable[position] else self._implausible(frame, int(received_ms[position]))
            if isinstance(place, int):
                first_slot[position] = place
            else:
                usable[position] = False
                refused.append(Refusal(index[position], "validate", *place))
        if refused:
            block = block.select(usable)
            offset = offset[usable]
        return Admitted(block, offset), refused

    def _place(self, frame: Telemetry) -> int | tuple[Reason, str]:
        """The frame's first slot, or what the pack's own past or the room that is left has against it."""
        pack = self.packs.get(frame.pack_id)
        return self._pack_place(frame, pack) if isinstance(frame, PackFrame) else self._cell_place(frame, pack)

    def _pack_place(self, frame: PackFrame, pack: Pack | None) -> int | tuple[Reason, str]:
        cells = len(frame.voltage_v)
        if pack is None:
            if not self._has_room(cells):
                return self._full(frame)
            pack = self._new_pack(frame.pack_id, cells)
            pack.first_slot = self._new_slots(pack, range(cells))
        elif pack.slot_of_cell is not None:
            return Reason.KIND_CHANGED, f"kind: pack {frame.pack_id!r} reports cell by cell, not both ways"
        elif pack.cells != cells:
            error = f"voltage_v: {cells} cells, but pack {frame.pack_id!r} has {pack.cells}"
            return Reason.CELL_COUNT_CHANGED, error
        return pack.first_slot

    def _cell_place(self, frame: CellSample, pack: Pack | None) -> int | tuple[Reason, str]:
        if pack is not None and pack.slot_of_cell is None:
            return Reason.KIND_CHANGED, f"kind: pack {frame.pack_id!r} reports by pack frames, not both ways"
        slot = None if pack is None or pack.slot_of_cell is None else pack.slot_of_cell.get(frame.cell)
        if slot is None:
            if not self._has_room(1):
                return self._full(frame)
            pack = pack or self._new_pack(frame.pack_id, 0)
            pack.slot_of_cell = {} if pack.slot_of_cell is None else pack.slot_of_cell
            slot = pack.slot_of_cell[frame.cell] = self._new_slots(pack, range(frame.cell, frame.cell + 1))
        return slot

    def _has_room(self, cells: int) -> bool:
        # A limit of the partition, not of the process: read again elsewhere, the same records are refused.
        return self.state.slots + cells <= self.max_cells

    def _full(self, frame: Telemetry) -> tuple[Reason, str]:
        limit = f"limits.partition_cells = {self.max_cells}"
        return (
            Reason.CELL_LIMIT,
            f"pack_id: {frame.pack_id!r} brings new cells, but the partition holds {limit} already",
        )

    def _implausible(self, frame: Telemetry, received_ms: int) -> tuple[Reason, str]:
        found = why_implausible(frame, received_ms, self.future_tolerance_ms)
        assert found is not None, "a frame is refused for a reason"
        return found

    def _new_pack(self, pack_id: str, cells: int) -> Pack:
        pack = self.packs[pack_id] = Pack(len(self.pack_ids), cells, first_slot=-1)
        self.pack_ids.append(pack_id)
        return pack

    def _new_slots(self, pack: Pack, cells: range) -> int:
        first = self.state.slots
        end = first + len(cells)
        self.state.reserve(end)
        if end > len(self._pack_of_slot):
            self._pack_of_slot = grown(self._pack_of_slot, end)
            self._cell_of_slot = grown(self._cell_of_slot, end)
        self._pack_of_slot[first:end] = pack.index
        self._cell_of_slot[first:end] = cells
        return first


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
