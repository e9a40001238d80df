"""The packs of one partition: which slots of the state are theirs, since when, and what their pages do not hold yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.growth import grown
from model.state import StepState
from stream.directory import Directory

SWEEPS = 64  # looks for silent packs in the time after which a pack counts as gone
NEVER_MS = np.iinfo(np.int64).max
# What a usual frame reads and writes of its pack, side by side. Records before ``stands_at`` are in its state;
# ``changed_at`` is the first one that is not in its pages, -1 if none, and ``changed_ms`` the arrival of that record.
PACK_ROW = np.dtype(
    [(name, np.int64) for name in ("first_slot", "cells", "stands_at", "seen_ms", "changed_at", "changed_ms")]
)


@dataclass(slots=True, eq=False)
class Pack:
    """A pack's place in the state: one run of slots for frames, or a slot for each cell that reports by itself.

    ``life`` is the offset of the record that it began with, and tells it from an earlier pack of the same name.
    What every record of it changes is in the row ``index`` of `Packs.rows`.
    """

    pack_id: str
    life: int
    cells: int  # of a frame; 0 where they report by themselves
    slot_of_cell: dict[int, int] | None
    first_slot: int = -1
    first_step: int = 0
    index: int = -1
    ended: bool = False
    last_step: int = 0  # once it is gone

    def slots(self) -> NDArray[np.int64]:
        """Its slots, int64 [cells], in the order in which its cells came."""
        if self.slot_of_cell is None:
            return np.arange(self.first_slot, self.first_slot + self.cells)
        return np.fromiter(self.slot_of_cell.values(), np.int64, len(self.slot_of_cell))


@dataclass(slots=True)
class Changes:
    """What happened to packs since it was last taken: who got cells, whose state moved, who is gone."""

    begun: dict[Pack, None] = field(default_factory=dict)
    moved: list[Pack] = field(default_factory=list)
    ended: list[Pack] = field(default_factory=list)


class Packs:
    """Gives slots of a state to packs, and takes them back from packs that fell silent for longer than ``ttl_ms``.

    Time is that of the records (their arrival), so that the same records give the same packs whenever they are read.
    A pack that comes back counts its steps on from where they ended: what names a prediction is never used twice.
    """

    def __init__(
        self, state: StepState, max_cells: int, ttl_ms: int, on_end: Callable[[NDArray[np.int64]], None] | None = None
    ) -> None:
        self.state = state
        self.max_cells = max_cells
        self.ttl_ms = ttl_ms
        self.on_end = on_end
        self.by_id: dict[str, Pack] = {}
        self.directory = Directory()  # of the same packs: their place in ``rows``
        self.rows = np.zeros(0, PACK_ROW)
        self.last_step: dict[str, int] = {}  # of packs that are gone
        self.used = 0
        self.changes = Changes()
        self.saved_step = np.zeros(0, np.int64)  # of each slot: its steps that pages hold
        self.born_at = np.zeros(0, np.int64)  # of each slot: the offset of the record that its cell came with
        self._free: dict[int, list[int]] = {}
        self._index: list[Pack | None] = []
        self._free_index: list[int] = []
        self._pack_of_slot = np.zeros(0, np.int32)
        self._cell_of_slot = np.zeros(0, np.int32)
        self._expiry_ms = 0
        self._sweep_ms = 0

    def owners(self, slots: NDArray[np.int64]) -> list[tuple[str, int]]:
        """The pack and the cell of each slot."""
        names = [pack.pack_id if (pack := self._index[at]) else "" for at in self._pack_of_slot[slots].tolist()]
        return list(zip(names, self._cell_of_slot[slots].tolist(), strict=True))

    def begin(self, pack_id: str, life: int, cells: int) -> Pack:
        """A new pack: of ``cells`` cells in a frame, or with 0 of cells that report by themselves and come singly."""
        pack = Pack(pack_id, life, cells, None if cells else {})
        pack.first_step = self.last_step.pop(pack_id, 0)
        if self._free_index:
            pack.index = self._free_index.pop()
            self._index[pack.index] = pack
        else:
            pack.index = len(self._index)
            self._index.append(pack)
        self.by_id[pack_id] = pack
        self.directory.add(pack_id, pack.index)
        self.changes.begun[pack] = None
        if cells:
            pack.first_slot = self._take(pack, range(cells), life)
        if pack.index >= len(self.rows):
            self.rows = grown(self.rows, pack.index + 1, self.max_cells)
        self.rows[pack.index] = pack.first_slot, cells, life, 0, -1, 0
        return pack

    def begin_cell(self, pack: Pack, cell: int, offset: int) -> int:
        """The slot of a cell that reports by itself for the first time."""
        assert pack.slot_of_cell is not None
        slot = pack.slot_of_cell[cell] = self._take(pack, range(cell, cell + 1), offset)
        self.changes.begun[pack] = None
        return slot

    def end(self, pack: Pack) -> None:
        """Forgets a pack but for the number of its last step."""
        slots = pack.slots()
        pack.last_step = int(self.state.column("step")[slots].max(initial=pack.first_step))
        if pack.last_step:
            self.last_step[pack.pack_id] = pack.last_step
        if pack.slot_of_cell is None:
            self._free.setdefault(pack.cells, []).append(pack.first_slot)
        else:
            self._free.setdefault(1, []).extend(slots.tolist())
        self.used -= len(slots)
        if self.on_end is not None:
            self.on_end(slots)
        del self.by_id[pack.pack_id]
        self.directory.remove(pack.index)
        self.rows[pack.index] = -1, 0, 0, NEVER_MS, -1, 0  # nobody's, and never silent for too long
        self._index[pack.index] = None
        self._free_index.append(pack.index)
        pack.ended = True
        self.changes.ended.append(pack)

    def touch(self, pack: Pack, offset: int, now_ms: int) -> None:
        """A record of the pack, which arrived at ``now_ms``, changes its state."""
        row = self.rows[pack.index]
        row["seen_ms"] = now_ms
        if row["changed_at"] < 0:
            row["changed_at"], row["changed_ms"] = offset, now_ms
            self.changes.moved.append(pack)

    def moved(self, indices: NDArray[np.int64]) -> None:
        """These packs, int64 [n], have a record that is not in their pages, and had none."""
        self.changes.moved += [self._pack(index) for index in indices.tolist()]

    def cells_of(self, index: int) -> dict[int, int]:
        """The slots of the cells that report by themselves; none where no pack has this index."""
        pack = self._index[index] if index >= 0 else None
        return (pack and pack.slot_of_cell) or {}

    def unsaved(self) -> tuple[int, int] | None:
        """The offset of the first record that is not in its pack's pages, and its arrival; none where all are."""
        rows = self.rows[: len(self._index)]
        changed = rows[rows["changed_at"] >= 0]
        if not len(changed):
            return None
        first = changed[changed["changed_at"].argmin()]
        return int(first["changed_at"]), int(first["changed_ms"])

    def gone(self, pack: Pack, now_ms: int) -> bool:
        """Whether the pack was silent for so long that it counts as gone."""
        return self.seen_ms(pack) < self.heard_ms(now_ms)

    def seen_ms(self, pack: Pack) -> int:
        """When the pack was heard of last."""
        return int(self.rows["seen_ms"][pack.index])

    def heard_ms(self, now_ms: int) -> int:
        """When a pack must have been heard of last, not to count as gone."""
        return now_ms - self.ttl_ms

    def has_room(self, cells: int, now_ms: int) -> bool:
        """Whether so many new cells fit beside those of packs that are not gone."""
        # A limit of the partition, not of the process: read again elsewhere, the same records are refused.
        if self.used + cells > self.max_cells and now_ms > self._expiry_ms:
            self._end_gone(now_ms)
        return self.used + cells <= self.max_cells

    def sweep(self, now_ms: int) -> None:
        """Ends packs that are gone, if it is time to look for them."""
        if now_ms >= self._sweep_ms:
            self._end_gone(now_ms)

    def take_changes(self) -> Changes:
        """What changed since this was last called."""
        changes, self.changes = self.changes, Changes()
        return changes

    def _pack(self, index: int) -> Pack:
        pack = self._index[index]
        assert pack is not None
        return pack

    def _end_gone(self, now_ms: int) -> None:
        seen_ms = self.rows["seen_ms"][: len(self._index)]
        for index in np.flatnonzero(seen_ms < self.heard_ms(now_ms)).tolist():
            self.end(self._pack(index))
        self._expiry_ms = int(seen_ms.min(initial=now_ms)) + self.ttl_ms
        self._sweep_ms = now_ms + self.ttl_ms // SWEEPS

    def _take(self, pack: Pack, cells: Sequence[int], offset: int) -> int:
        """A run of slots with cells that have seen nothing, one that a pack of this size left where there is one."""
        left = self._free.get(len(cells))
        first = left.pop() if left else self.state.slots
        end = first + len(cells)
        if first < self.state.slots:
            self.state.clear(slice(first, end))
        else:
            self.state.reserve(end, self.max_cells)
        self.state.count_from(slice(first, end), pack.first_step)
        if end > len(self._pack_of_slot):
            self.saved_step = grown(self.saved_step, end, self.max_cells)
            self.born_at = grown(self.born_at, end, self.max_cells)
            self._pack_of_slot = grown(self._pack_of_slot, end, self.max_cells)
            self._cell_of_slot = grown(self._cell_of_slot, end, self.max_cells)
        self.saved_step[first:end] = pack.first_step
        self.born_at[first:end] = offset
        self._pack_of_slot[first:end] = pack.index
        self._cell_of_slot[first:end] = cells
        self.used += len(cells)
        return first
