"""What of a partition's state is written to its pages, and when."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator

from model.state import Part
from stream.cells import Cells
from stream.outlook import Outlook
from stream.packs import Pack
from stream.pages import (
    LEARNED_KEY,
    MARK_KEY,
    Arrays,
    Gone,
    Head,
    Learned,
    Mark,
    Seen,
    Watched,
    arrays_key,
    encode,
    head_key,
    seen_key,
    watched_key,
)
from stream.score import Score
from stream.seams import Message

MARK_S = 1.0
SLICE_BYTES = 1024 * 1024  # of pages in one ticket, so that a transaction stays short
CHUNK = 256  # cells on a page, which is then well below a broker's default limit of 1 MB

Written = tuple[bytes, bytes | None]


class Checkpoint:
    """Writes the pages of one partition's cells.

    Who is there is written at once: a ticket carries the head of each pack that its records begin, and takes away the
    pages of those that are gone. What cells accumulate is written when it has waited for ``interval_s``. The mark names
    the first record that some page does not hold: from there the input is read again.
    """

    def __init__(self, cells: Cells, topic: str, number: int, interval_s: float, lineage: int) -> None:
        self.cells = cells
        self.topic = topic
        self.number = number
        self.interval_s = interval_s
        self.lineage = lineage
        self.stale: set[bytes] = set()  # keys of former lineages, to be taken away
        self._queue: deque[tuple[Pack, float]] = deque()
        self._marked_s: float | None = None
        self._level: float | None = None

    def due(self, end: int, now_s: float) -> list[Message]:
        """The pages to be written with the records before ``end``; the state stands there."""
        changes = self.cells.packs.take_changes()
        written: list[Written] = [(key, None) for key in self.stale]
        self.stale.clear()
        for pack in changes.ended:
            written += self._farewell(pack)
        written += [(head_key(pack.pack_id), self._head(pack)) for pack in changes.begun if not pack.ended]
        self._queue += ((pack, now_s) for pack in changes.moved)
        size = 0
        while self._queue and now_s - self._queue[0][1] >= self.interval_s and size < SLICE_BYTES:
            pack, _ = self._queue.popleft()
            if not pack.ended:
                for key, value in self._arrays(pack, end):
                    size += len(value)
                    written.append((key, value))
                self._wrote(pack, now_s)
        if self._marked_s is None or (size and now_s - self._marked_s >= MARK_S):
            self._marked_s = now_s
            written.append((MARK_KEY, self._mark(end)))
        return self._messages(written)

    def learned(self, score: Score) -> list[Message]:
        """The pages of what the score learned since they were written: no reading again would bring it back."""
        written: list[Written] = []
        for cell in score.take_changes():
            followed = score.followed.get(cell)
            written.append((watched_key(cell), None if followed is None else encode(Watched(self.lineage, followed))))
        if written and score.width.level != self._level:
            self._level = score.width.level
            written.append((LEARNED_KEY, encode(Learned(self.lineage, self._level))))
        return self._messages(written)

    def seen(self, outlook: Outlook) -> list[Message]:
        """The pages of packs that look different since they were written; reading again would not help here, either."""
        return self._messages(
            (seen_key(pack_id), None if kept is None else encode(Seen(self.lineage, kept)))
            for pack_id, kept in outlook.take_changes()
        )

    def _messages(self, written: Iterable[Written]) -> list[Message]:
        return [Message(self.topic, key, value, partition=self.number) for key, value in written]

    def _wrote(self, pack: Pack, now_s: float) -> None:
        """All is in the pages but records that wait for earlier ones."""
        reordering = self.cells.reordering
        waiting = None if reordering is None else reordering.waiting(pack.slots())
        row = self.cells.packs.rows[pack.index]
        row["changed_at"], row["changed_ms"] = waiting or (-1, 0)
        if waiting is not None:
            self._queue.append((pack, now_s))

    def _mark(self, end: int) -> bytes:
        # As time was there, since silence is measured in it: not as it is now.
        first, arrived_ms = self.cells.packs.unsaved() or (end, self.cells.arrived_ms)
        return encode(Mark(self.lineage, self.cells.state.layout, first, arrived_ms))

    def _head(self, pack: Pack) -> bytes:
        numbers = born_at = None
        seen_ms = self.cells.packs.seen_ms(pack)
        if pack.slot_of_cell is not None:
            numbers, born_at = list(pack.slot_of_cell), self.cells.packs.born_at[pack.slots()].tolist()
        return encode(Head(self.lineage, pack.life, seen_ms, pack.first_step, pack.cells, numbers, born_at))

    def _farewell(self, pack: Pack) -> Iterator[Written]:
        """Takes the pages of a pack away that is gone, but for the number of its last step."""
        yield head_key(pack.pack_id), encode(Gone(self.lineage, pack.life, pack.last_step))
        for chunk in range(-(-len(pack.slots()) // CHUNK)):
            yield arrays_key(pack.pack_id, Part.OPEN, chunk), None
            yield arrays_key(pack.pack_id, Part.SETTLED, chunk), None
            for block in range(self.cells.state.ring_blocks):
                yield arrays_key(pack.pack_id, Part.RING, chunk, block), None

    def _arrays(self, pack: Pack, end: int) -> Iterator[tuple[bytes, bytes]]:
        """The pages of what changed since they were written: all accumulators, and those parts of the ring."""
        state, saved_step = self.cells.state, self.cells.packs.saved_step
        numbers = None if pack.slot_of_cell is None else list(pack.slot_of_cell)
        slots = pack.slots()
        for chunk, first in enumerate(range(0, len(slots), CHUNK)):
            part = slots[first : first + CHUNK]
            step, before = state.column("step")[part], saved_step[part]
            pages = [(Part.OPEN, 0)]
            if state.settled and ((before < pack.first_step + state.settled_after) & (step > before)).any():
                pages.append((Part.SETTLED, 0))
            pages += [(Part.RING, block) for block in state.blocks_between(before, step)]
            saved_step[part] = step
            for kind, block in pages:
                page = Arrays(
                    self.lineage,
                    pack.life,
                    self.cells.packs.seen_ms(pack),
                    pack.first_step,
                    state.layout,
                    end,
                    pack.cells,
                    numbers and numbers[first : first + CHUNK],
                    first,
                    len(part),
                    zlib.compress(state.dump(kind, part, block), 1),
                )
                yield arrays_key(pack.pack_id, kind, chunk, block), encode(page)
