"""The cells of one partition: which frames their state takes, and the state itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock
from model.plausibility import mask_implausible
from model.schema import CycleSteps, SampleSteps
from model.steps import new_state
from model.windows import WindowBatch
from stream.columns import columns
from stream.packs import Pack, Packs
from stream.records import CellSample, PackFrame, Telemetry
from stream.refusal import EARLIEST_MS, Reason, Refusal, why_implausible
from stream.reordering import Held, Reordering
from stream.settings import LimitSettings


class Admitted(NamedTuple):
    """Frames that can be folded into the state. offset: int64 [f], where each came from."""

    block: FrameBlock
    offset: NDArray[np.int64]


class Known(Enum):
    """A frame that needs no place: it was worked off before, and what came of it is in the restored state."""

    KNOWN = 0


KNOWN = Known.KNOWN


class Cells:
    """The step state of all cells of one partition, and who they are.

    ``from_pages`` says that the packs are those that were there at the committed offset: a record before it from a pack
    that is not among them was refused for want of room, or its pack is gone since.
    """

    def __init__(self, steps: SampleSteps | CycleSteps, limits: LimitSettings, idle_ttl_s: float) -> None:
        self.future_tolerance_ms = round(limits.future_tolerance_s * 1000)
        self.state = new_state(steps)
        bound_ms = round(limits.max_out_of_orderness_s * 1000)
        self.reordering = Reordering(bound_ms, self.state) if bound_ms else None
        self.packs = Packs(
            self.state,
            limits.partition_cells,
            round(idle_ttl_s * 1000),
            on_end=None if self.reordering is None else self.reordering.forget,
        )
        # In a shorter time no pack can fall silent that had a record in it, or one that waits.
        self._span_ms = self.packs.ttl_ms - bound_ms
        self.next_offset: int | None = None  # of the input; none while a polled batch is half folded in
        self.arrived_ms = 0  # the newest arrival so far: the time that silence is measured in
        self.from_pages = False

    def __len__(self) -> int:
        return self.packs.used

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
        *,
        replayed: bool = False,
    ) -> Iterator[tuple[Admitted, list[Refusal]]]:
        """Columns and slots for decoded frames; a refusal for each that physics or the pack's own past speaks against.

        ``index`` gives each frame's position in its polled batch; offset and received_ms: int64 [len(frames)].
        ``replayed`` frames only rebuild state: what the restored state holds already is left out. What is yielded must
        be folded in before the next is asked for. It is all at once, unless a pack could fall silent in between.
        """
        arrived_ms = np.maximum.accumulate(np.maximum(received_ms, self.arrived_ms))
        begin = 0
        while begin < len(frames):
            if self.reordering is not None:
                yield _block_of(list(self.reordering.overdue(int(arrived_ms[begin])))), []
            end = int(np.searchsorted(arrived_ms, arrived_ms[begin] + self._span_ms, "right"))
            part = slice(begin, end)
            admitted, refused = self._admit(
                frames[part], index[part], offset[part], received_ms[part], arrived_ms[part], replayed=replayed
            )
            if self.reordering is not None:
                admitted = self._reordered(self.reordering, frames[part], offset[part], admitted, arrived_ms[part])
            yield admitted, refused
            begin = end

    def _admit(
        self,
        frames: Sequence[Telemetry],
        index: Sequence[int],
        offset: NDArray[np.int64],
        received_ms: NDArray[np.int64],
        arrived_ms: NDArray[np.int64],
        *,
        replayed: bool,
    ) -> tuple[Admitted, list[Refusal]]:
        block = columns(frames)
        usable = mask_implausible(block)
        usable &= (block.t_ms >= EARLIEST_MS) & (block.t_ms <= received_ms + self.future_tolerance_ms)
        restoring = replayed and self.from_pages
        refused: list[Refusal] = []
        first_slot: list[int] = []
        places = zip(frames, offset.tolist(), arrived_ms.tolist(), usable.tolist(), strict=True)
        for at, (frame, from_offset, now_ms, plausible) in enumerate(places):
            if plausible:
                place = self._place(frame, from_offset, now_ms, restoring)
            else:
                place = self._implausible(frame, int(received_ms[at]))
            if isinstance(place, int):
                first_slot.append(place)
                continue
            first_slot.append(-1)
            if not isinstance(place, Known):
                refused.append(Refusal(index[at], "validate", *place))
        self.arrived_ms = int(arrived_ms[-1])
        block.first_slot[:] = first_slot
        kept = block.first_slot >= 0
        if not kept.all():
            block, offset = block.select(kept), offset[kept]
        if not restoring:
            self.packs.sweep(self.arrived_ms)
        return Admitted(block, offset), refused

    def _reordered(
        self,
        reordering: Reordering,
        frames: Sequence[Telemetry],
        offset: NDArray[np.int64],
        admitted: Admitted,
        arrived_ms: NDArray[np.int64],
    ) -> Admitted:
        """What need not wait, of the admitted frames and of those before."""
        slot_of = dict(zip(admitted.offset.tolist(), admitted.block.first_slot.tolist(), strict=True))
        released: list[Held] = []
        for frame, at, now_ms in zip(frames, offset.tolist(), arrived_ms.tolist(), strict=True):
            released += reordering.overdue(now_ms)
            if at in slot_of:
                released += reordering.push(Held(frame.t_ms, at, now_ms, slot_of[at], frame))
        return _block_of(released)

    def _place(self, frame: Telemetry, offset: int, now_ms: int, restoring: bool) -> int | Known | tuple[Reason, str]:
        """The frame's first slot, or what the pack's own past or the room that is left has against it."""
        pack = self.packs.by_id.get(frame.pack_id)
        if pack is not None:
            if offset < pack.stands_at and self._was_folded(pack, frame, offset):
                return KNOWN
            if self.packs.gone(pack, now_ms) and not restoring:
                self.packs.end(pack)
                pack = None
        if isinstance(frame, PackFrame):
            return self._pack_place(frame, pack, offset, now_ms, restoring)
        return self._cell_place(frame, pack, offset, now_ms, restoring)

    def _pack_place(
        self, frame: PackFrame, pack: Pack | None, offset: int, now_ms: int, restoring: bool
    ) -> int | Known | tuple[Reason, str]:
        cells = len(frame.voltage_v)
        if pack is None:
            if restoring:
                return KNOWN
            if not self.packs.has_room(cells, now_ms):
                return self._full(frame)
            pack = self.packs.begin(frame.pack_id, offset, cells)
        elif pack.slot_of_cell is not None:
            return Reason.KIND_CHANGED, f"kind: pack {frame.pack_id!r} reports cell by cell, not both ways"
        elif pack.cells != cells:
            error = f"voltage_v: {cells} cells, but pack {frame.pack_id!r} has {pack.cells}"
            return Reason.CELL_COUNT_CHANGED, error
        self.packs.touch(pack, offset, now_ms)
        return pack.first_slot

    def _cell_place(
        self, frame: CellSample, pack: Pack | None, offset: int, now_ms: int, restoring: bool
    ) -> int | Known | tuple[Reason, str]:
        if pack is not None and pack.slot_of_cell is None:
            return Reason.KIND_CHANGED, f"kind: pack {frame.pack_id!r} reports by pack frames, not both ways"
        slot = None if pack is None or pack.slot_of_cell is None else pack.slot_of_cell.get(frame.cell)
        if slot is None:
            if restoring:
                return KNOWN
            if not self.packs.has_room(1, now_ms):
                return self._full(frame)
            pack = pack or self.packs.begin(frame.pack_id, offset, 0)
            slot = self.packs.begin_cell(pack, frame.cell, offset)
        elif restoring and offset < self.packs.born_at[slot]:
            return KNOWN
        assert pack is not None
        self.packs.touch(pack, offset, now_ms)
        return slot

    def _was_folded(self, pack: Pack, frame: Telemetry, offset: int) -> bool:
        """Whether a frame from before the restored state is in it: all are, but those that waited for others."""
        if self.reordering is None or offset < pack.life:
            return True
        if isinstance(frame, PackFrame) or pack.slot_of_cell is None:
            return self.reordering.was_released(frame, pack.slots())
        slot = pack.slot_of_cell.get(frame.cell)
        return slot is not None and self.reordering.was_released(frame, np.array([slot]))

    def _full(self, frame: Telemetry) -> tuple[Reason, str]:
        limit = f"limits.partition_cells = {self.packs.max_cells}"
        return (
            Reason.CELL_LIMIT,
            f"pack_id: {frame.pack_id!r} brings new cells, but the partition holds {limit} already",
        )

    def _implausible(self, frame: Telemetry, received_ms: int) -> tuple[Reason, str]:
        found = why_implausible(frame, received_ms, self.future_tolerance_ms)
        assert found is not None, "a frame is refused for a reason"
        return found


def _block_of(released: list[Held]) -> Admitted:
    frames = [held.frame for held in released]
    block = columns(frames)
    mask_implausible(block)
    block.first_slot[:] = [held.slot for held in released]
    return Admitted(block, np.array([held.offset for held in released], np.int64))
