"""The state of a partition's cells out of its pages."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.adaptive import Width
from model.state import Part
from stream.cells import Cells
from stream.outlook import Kept, Outlook
from stream.packs import Pack
from stream.pages import (
    LEARNED_KEY,
    Arrays,
    Gone,
    Head,
    Learned,
    Mark,
    Page,
    PageError,
    Published,
    Seen,
    Watched,
    cell_of,
    decode,
    is_seen,
    pack_of,
    part_of,
)
from stream.score import Cell, Followed, Score


class Restoration:
    """Takes pages in the order in which they were written, the newest of each key last.

    A *lineage* is a run of pages that belong together: a partition begins a new one wherever it cannot go on from the
    pages that are there, and pages of former ones count no more.
    """

    def __init__(self, new_cells: Callable[[], Cells]) -> None:
        self.cells = new_cells()
        self.lineage = 0
        self.stale: set[bytes] = set()
        self._new_cells = new_cells
        self._keys: set[bytes] = set()
        self._mark: Mark | None = None
        self._numbers: dict[Pack, list[int]] = {}
        self._unusable: dict[bytes, str] = {}
        self._width = Width()
        self._followed: dict[Cell, Followed] = {}
        self._seen: dict[str, Kept] = {}

    def read(self, written: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Takes the next pages."""
        for key, value in written:
            if value is None:
                for keys in (self._keys, self.stale):
                    keys.discard(key)
                self._unusable.pop(key, None)
                self._forget(key)
                continue
            try:
                page = decode(value)
            except PageError as error:
                self._unusable[key] = str(error)
                continue
            if isinstance(page, Published):
                continue
            if page.lineage > self.lineage:
                self._begin_lineage(page.lineage)
            if page.lineage < self.lineage:
                self.stale.add(key)
                continue
            self.stale.discard(key)
            self._keys.add(key)
            self._unusable.pop(key, None)
            self._take(key, page)

    def finish(self, committed: int, *, reset: bool) -> Cells:
        """The cells as they stood at their ``next_offset``, or without one where there are no pages to go on from.

        Raises `PageError` where pages cannot be used, unless a ``reset`` is wished.
        """
        if self._unusable and not reset:
            key, why = next(iter(self._unusable.items()))
            raise PageError(
                f"state page {key!r} {why}. Start with `--state reset` to give the pages up and rebuild the state from "
                "the telemetry, or give this deployment an `app` of its own"
            )
        if self._unusable or self._mark is None or self._mark.offset > committed:
            self.stale |= self._unusable.keys()
            self._begin_lineage(self.lineage + 1)
            return self.cells
        packs = self.cells.packs
        for pack, numbers in self._numbers.items():
            if not pack.ended and pack.slot_of_cell is not None:
                pack.slot_of_cell = {number: pack.slot_of_cell[number] for number in numbers}
        slots = self.cells.state.slots
        packs.saved_step[:slots] = self.cells.state.column("step")[:slots]
        packs.take_changes()
        self.cells.from_pages = True
        self.cells.arrived_ms = self._mark.arrived_ms
        self.cells.next_offset = self._mark.offset
        return self.cells

    def learned(self, score: Score) -> None:
        """Puts what was learned back into ``score``; one that no longer adapts begins anew, and its pages are stale."""
        if score.adapts:
            score.restore(self._width, self._followed)
        else:
            self.stale |= {key for key in self._keys if key == LEARNED_KEY or cell_of(key) is not None}

    def seen(self, outlook: Outlook) -> None:
        """Puts what was seen of packs back into ``outlook``."""
        outlook.restore(self._seen)

    def _begin_lineage(self, lineage: int) -> None:
        self.lineage = lineage
        self.stale |= self._keys
        self._keys.clear()
        self._numbers.clear()
        self._mark = None
        self._width = Width()
        self._followed.clear()
        self._seen.clear()
        if len(self.cells.packs.by_id) or self.cells.packs.last_step:
            self.cells = self._new_cells()

    def _take(self, key: bytes, page: Page) -> None:
        layout = self.cells.state.layout
        if isinstance(page, Mark | Arrays) and page.layout != layout:
            self._unusable[key] = f"holds another kind of steps ({page.layout}; this model's are {layout})"
            return
        pack_id = pack_of(key)
        match page:
            case Mark():
                self._mark = page
            case Gone():
                self._end(pack_id, page)
            case Learned() | Watched() | Seen():
                self._take_learned(key, page)
            case Head():
                pack = self._pack(pack_id, page)
                if pack is not None:
                    for number, born_at in zip(page.numbers or (), page.born_at or (), strict=True):
                        slot = self._slot(pack, number)
                        self.cells.packs.born_at[slot] = born_at
                    self._numbers[pack] = page.numbers or []
            case Arrays():
                pack = self._pack(pack_id, page)
                if pack is not None:
                    part, block = part_of(key)
                    body = zlib.decompress(page.body)
                    self.cells.state.load(part, self._slots(pack, page), body, block)
                    if part is Part.OPEN:
                        self.cells.packs.rows["stands_at"][pack.index] = page.offset

    def _take_learned(self, key: bytes, page: Learned | Watched | Seen) -> None:
        if isinstance(page, Learned):
            self._width = Width(page.level)
        elif isinstance(page, Seen):
            self._seen[pack_of(key)] = page.pack
        elif (cell := cell_of(key)) is not None:
            self._followed[cell] = page.cell

    def _forget(self, key: bytes) -> None:
        """A page of what was learned or seen was taken away; of a pack's pages, `Gone` tells."""
        if is_seen(key):
            self._seen.pop(pack_of(key), None)
        elif (cell := cell_of(key)) is not None:
            self._followed.pop(cell, None)
        elif key == LEARNED_KEY:
            self._width = Width()

    def _pack(self, pack_id: str, page: Head | Arrays) -> Pack | None:
        """The pack of this life; none where a later life of it is known already."""
        packs = self.cells.packs
        pack = packs.by_id.get(pack_id)
        if pack is not None and pack.life > page.life:
            return None
        if pack is not None and pack.life < page.life:
            packs.end(pack)
            pack = None
        if pack is None:
            packs.last_step[pack_id] = page.first_step
            pack = packs.begin(pack_id, page.life, page.cells)
        packs.rows["seen_ms"][pack.index] = max(packs.seen_ms(pack), page.seen_ms)
        return pack

    def _end(self, pack_id: str, page: Gone) -> None:
        packs = self.cells.packs
        pack = packs.by_id.get(pack_id)
        if pack is not None:
            if pack.life > page.life:
                return
            packs.end(pack)
        packs.last_step[pack_id] = page.last_step

    def _slots(self, pack: Pack, page: Arrays) -> NDArray[np.int64]:
        if pack.slot_of_cell is None:
            return np.arange(page.first, page.first + page.count) + pack.first_slot
        return np.array([self._slot(pack, number) for number in page.numbers or ()], np.int64)

    def _slot(self, pack: Pack, number: int) -> int:
        assert pack.slot_of_cell is not None
        slot = pack.slot_of_cell.get(number)
        return self.cells.packs.begin_cell(pack, number, pack.life) if slot is None else slot
