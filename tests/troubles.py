"""A process that dies and is begun again from what was committed; its topic of pages is compacted now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from hypothesis import strategies as st

Kept = list[tuple[bytes, bytes | None]]
# How many events are worked off, how many tickets are committed, and what happens then.
TURNS = st.lists(
    st.tuples(st.integers(1, 15), st.sampled_from([0, 1, 9]), st.sampled_from(["", "", "crash", "compact and crash"])),
    max_size=12,
)


class Ticket(Protocol):
    """What came of some events: the pages that are committed with it, and the event that comes next."""

    end: int
    pages: Kept


class Member(Protocol):
    """One process's part for one partition, without its loop."""

    def feed(self, count: int, now_s: float) -> Any:
        """Works off the next events; a `Ticket`."""


def compacted(kept: Kept) -> Kept:
    """The newest of each key, and none that was taken away."""
    last = {key: at for at, (key, _) in enumerate(kept)}
    return [each for at, each in enumerate(kept) if last[each[0]] == at and each[1] is not None]


def committed(turns: Iterable[tuple[int, int, str]], events: int, begin: Callable[[Kept, int], Member]) -> list[Any]:
    """The tickets that were committed, in order, of so many events. ``begin``: a member from pages and an offset.

    After the turns there is one more crash, and then the rest is worked off.
    """
    kept: Kept = []
    end = 0
    waiting: list[Any] = []
    safe: list[Any] = []
    member = begin(kept, end)
    for now_s, (count, commits, then) in enumerate([*turns, (0, 0, "crash"), (events, 99, "")]):
        waiting.append(member.feed(count, float(now_s)))
        for ticket in waiting[:commits]:
            safe.append(ticket)
            kept += ticket.pages
            end = ticket.end
        del waiting[:commits]
        if then == "compact and crash":
            kept = compacted(kept)
        if then:
            waiting.clear()
            member = begin(kept, end)
    return safe
