"""The cells of one partition: which frames their state takes, and the state itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from model.block import FrameBlock, joined
from model.plausibility import mask_implausible
from model.schema import CycleSteps, SampleSteps
from model.steps import new_state
from model.windows import WindowBatch
from stream.frames import NO_SLOT, Frame, Frames, frames_of
from stream.packs import Pack, Packs
from stream.records import Telemetry
from stream.refusal import EARLIEST_MS, Reason, Refusal, why_implausible
from stream.reordering import Held, Reordering
from stream.settings import LimitSettings


class Admitted(NamedTuple):
    """Frames that can be folded into the state. offset: int64 [f], where each came from."""

    block: FrameBlock
    offset: NDArray[np.int64]


class _Offered(NamedTuple):
    """The frames of a polled batch [f] and what is known of each, as `Cells.admit` takes it. arrived_ms: int64 [f],
    never less than before. usable: bool [f], whether physics and time have nothing against it.
    """

    frames: Frames
    offset: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    arrived_ms: NDArray[np.int64]
    usable: NDArray[np.bool_]
    read: Callable[[int], Telemetry]
    restoring: bool


class Known(Enum):
    """A frame that needs no place: it was worked off before, and what came of it is in the restored state."""

    KNOWN = 0


KNOWN = Known.KNOWN
NO_FRAMES = frames_of(()).block


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
        frames: Frames,
        offset: NDArray[np.int64],
        received_ms: NDArray[np.int64],
        read: Callable[[int], Telemetry],
        *,
        replayed: bool = False,
    ) -> Iterator[tuple[Admitted, list[Refusal]]]:
        """Slots for decoded frames; a refusal for each that physics or the pack's own past speaks against.

        offset and received_ms: int64 [f]. ``read`` gives the record at a position of the polled batch as it was
        written, for the words of a refusal. ``replayed`` frames only rebuild state: what the restored state holds
        already is left out. What is yielded must be folded in before the next is asked for. It is all at once, unless
        a pack could fall silent in between.
        """
        usable = mask_implausible(frames.block)
        t_ms = frames.block.t_ms
        usable &= (t_ms >= EARLIEST_MS) & (t_ms <= received_ms + self.future_tolerance_ms)
        arrived_ms = np.maximum.accumulate(np.maximum(received_ms, self.arrived_ms))
        restoring = replayed and self.from_pages
        offered = _Offered(frames, offset, received_ms, arrived_ms, usable, read, restoring)
        begin = 0
        while begin < len(offset):
            if self.reordering is not None:
                yield _block_of(list(self.reordering.overdue(int(arrived_ms[begin])))), []
            end = int(np.searchsorted(arrived_ms, arrived_ms[begin] + self._span_ms, "right"))
            part = slice(begin, end)
            refused: list[Refusal] = []
            waiting = np.arange(begin, end)
            while len(waiting):
                waiting = self._place_others(offered, self._place_usual(offered, waiting), refused)
            refused.sort()
            self.arrived_ms = int(arrived_ms[end - 1])
            if not restoring:
                self.packs.sweep(self.arrived_ms)
            if self.reordering is not None:
                yield self._reordered(self.reordering, frames.block, part, offset, arrived_ms), refused
            else:
                yield _kept(frames.block, part, offset), refused
            begin = end

    def _place_usual(self, offered: _Offered, waiting: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the ``waiting`` frames, int64 [w], gives slots to all of those packs that are there and stay as they are;
        returns the others.

        Nothing that becomes of others can end such a pack, nor the other way round: the order does not matter.
        """
        packs, frames = self.packs, offered.frames
        index = packs.directory.find(frames.pack_ids)
        first_slot = frames.block.first_slot
        if (own := waiting[frames.cell[waiting] >= 0]).size:
            of_cell = [packs.cells_of(each) for each in index.tolist()]
            first_slot[own] = [
                of_cell[number].get(each, NO_SLOT)
                for number, each in zip(frames.pack[own].tolist(), frames.cell[own].tolist(), strict=True)
            ]
        unusual, moved = _place_usual(
            packs.rows,
            packs.born_at,
            index,
            0 if offered.restoring else packs.heard_ms(int(offered.arrived_ms[waiting[-1]])),
            self.reordering is None,
            waiting,
            frames.pack,
            frames.cell,
            frames.block.cells,
            offered.usable,
            offered.offset,
            offered.arrived_ms,
            first_slot,
        )
        packs.moved(moved)
        return unusual  # type: ignore[no-any-return]

    def _place_others(self, offered: _Offered, unusual: NDArray[np.int64], refused: list[Refusal]) -> NDArray[np.int64]:
        """Gives slots to other frames one by one, or adds to ``refused``; returns those, int64, of packs or cells that
        began with a frame before: usual by now, since nothing in reach can end them.
        """
        begun: set[tuple[int, int]] = set()
        usual: list[int] = []
        frames = offered.frames
        for at in unusual.tolist():
            whose = int(frames.pack[at]), int(frames.cell[at])
            if whose in begun:
                usual.append(at)
                continue
            position, offset, now_ms = int(frames.position[at]), int(offered.offset[at]), int(offered.arrived_ms[at])
            if offered.usable[at]:
                place = self._place(frames.frame(at), offset, now_ms, offered.restoring)
            else:
                place = self._implausible(offered.read(position), int(offered.received_ms[at]))
            if isinstance(place, int):
                frames.block.first_slot[at] = place
                if self.packs.born_at[place] == offset:
                    begun.add(whose)
            elif not isinstance(place, Known):
                refused.append(Refusal(position, "validate", *place))
        return np.array(usual, np.int64)

    def _reordered(
        self,
        reordering: Reordering,
        block: FrameBlock,
        part: slice,
        offset: NDArray[np.int64],
        arrived_ms: NDArray[np.int64],
    ) -> Admitted:
        """What need not wait, of the frames that have a place and of those before."""
        released: list[Held] = []
        for at in range(part.start, part.stop):
            now_ms = int(arrived_ms[at])
            released += reordering.overdue(now_ms)
            if block.first_slot[at] != NO_SLOT:
                released += reordering.push(Held(int(block.t_ms[at]), int(offset[at]), now_ms, block, at))
        return _block_of(released)

    def _place(self, frame: Frame, offset: int, now_ms: int, restoring: bool) -> int | Known | tuple[Reason, str]:
        """The frame's first slot, or what the pack's own past or the room that is left has against it."""
        pack = self.packs.by_id.get(frame.pack_id)
        if pack is not None:
            if offset < self.packs.rows["stands_at"][pack.index] and self._was_folded(pack, frame, offset):
                return KNOWN
            if self.packs.gone(pack, now_ms) and not restoring:
                self.packs.end(pack)
                pack = None
        if frame.cell < 0:
            return self._pack_place(frame, pack, offset, now_ms, restoring)
        return self._cell_place(frame, pack, offset, now_ms, restoring)

    def _pack_place(
        self, frame: Frame, pack: Pack | None, offset: int, now_ms: int, restoring: bool
    ) -> int | Known | tuple[Reason, str]:
        cells = frame.cells
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
        self, frame: Frame, pack: Pack | None, offset: int, now_ms: int, restoring: bool
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

    def _was_folded(self, pack: Pack, frame: Frame, offset: int) -> bool:
        """Whether a frame from before the restored state is in it: all are, but those that waited for others."""
        if self.reordering is None or offset < pack.life:
            return True
        if frame.cell < 0 or pack.slot_of_cell is None:
            return self.reordering.was_released(frame.t_ms, pack.slots())
        slot = pack.slot_of_cell.get(frame.cell)
        return slot is not None and self.reordering.was_released(frame.t_ms, np.array([slot]))

    def _full(self, frame: Frame) -> tuple[Reason, str]:
        limit = f"limits.partition_cells = {self.packs.max_cells}"
        return (
            Reason.CELL_LIMIT,
            f"pack_id: {frame.pack_id!r} brings new cells, but the partition holds {limit} already",
        )

    def _implausible(self, frame: Telemetry, received_ms: int) -> tuple[Reason, str]:
        found = why_implausible(frame, received_ms, self.future_tolerance_ms)
        assert found is not None, "a frame is refused for a reason"
        return found


def _kept(block: FrameBlock, part: slice, offset: NDArray[np.int64]) -> Admitted:
    """The frames of a part that have a place."""
    kept = part.start + np.flatnonzero(block.first_slot[part] != NO_SLOT)
    if len(kept) == block.frames:
        return Admitted(block, offset)
    return Admitted(block.select(kept), offset[kept])


def _block_of(released: Sequence[Held]) -> Admitted:
    """Frames of several blocks, in the order in which they were released."""
    rows: dict[int, list[int]] = {}
    for at, held in enumerate(released):
        rows.setdefault(id(held.block), []).append(at)
    pieces = [released[ats[0]].block.gathered(np.array([released[at].row for at in ats])) for ats in rows.values()]
    order = np.argsort(np.array([at for ats in rows.values() for at in ats], np.int64))
    block = joined(pieces).gathered(order) if pieces else NO_FRAMES
    return Admitted(block, np.array([held.offset for held in released], np.int64))


@njit(cache=True, nogil=True, error_model="numpy")
def _place_usual(  # type: ignore[no-untyped-def]
    rows, born_at, index, heard_ms, in_order, waiting, pack, cell, cells, usable, offset, arrived_ms, first_slot
):
    """Fills in the slots of the ``waiting`` frames of usual packs and notes them in the rows of these; returns the
    other frames, and the rows of packs that begin to differ from their pages.

    index: int64 [packs of the frames], their rows, -1 of a pack that is not there. in_order: whether all that came
    before ``stands_at`` is in the state: such a frame is left without a slot. first_slot: that of a cell which reports
    by itself is there already, `NO_SLOT` if it has none.
    """
    usual = index >= 0
    for at in waiting:
        number = pack[at]
        if usual[number]:
            row = rows[index[number]]
            if offset[at] < row.stands_at:
                fits = in_order
            elif cell[at] < 0:
                fits = row.cells == cells[at]
            else:
                fits = first_slot[at] != NO_SLOT and born_at[first_slot[at]] <= offset[at]
            usual[number] = fits and usable[at] and row.seen_ms >= heard_ms
    unusual, moved = np.empty(waiting.shape[0], np.int64), np.empty(index.shape[0], np.int64)
    others = begun = 0
    for at in waiting:
        number = pack[at]
        if not usual[number]:
            first_slot[at] = NO_SLOT
            unusual[others], others = at, others + 1
            continue
        row = rows[index[number]]
        if offset[at] < row.stands_at:
            first_slot[at] = NO_SLOT
            continue
        if cell[at] < 0:
            first_slot[at] = row.first_slot
        row.seen_ms = max(row.seen_ms, arrived_ms[at])  # of another cell, a later frame may have its place already
        if row.changed_at < 0:
            row.changed_at, row.changed_ms = offset[at], arrived_ms[at]
            moved[begun], begun = index[number], begun + 1
    return unusual[:others], moved[:begun]
