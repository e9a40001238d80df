"""The alerts that stand."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter

from stream.records import Alert, AlertKind

_MOST = 131_072

Name = tuple[str, int, AlertKind]


class Standing:
    """Of each pack, cell and kind the newest record, if it was raised. One thread; no input or output.

    Beyond ``most`` that stand, and as many that are over, the longest unchanged are forgotten.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._raised: dict[Name, Alert] = {}
        self._over: dict[Name, Alert] = {}
        self._by_kind: Counter[AlertKind] = Counter()
        self.changes = 0

    def __len__(self) -> int:
        return len(self._raised)

    def feed(self, alert: Alert) -> None:
        """Takes one record. A repeated or older one changes nothing, unless the cell began anew at a later time."""
        name = (alert.pack_id, alert.cell, alert.kind)
        held = self._raised.get(name) or self._over.get(name)
        if held is not None and _order(alert) <= _order(held) and alert.t_ms <= held.t_ms:
            return
        self.changes += 1
        self._by_kind[alert.kind] += alert.raised - (self._raised.pop(name, None) is not None)
        self._over.pop(name, None)
        mine = self._raised if alert.raised else self._over
        mine[name] = alert
        if len(mine) > self._most:
            forgotten = mine.pop(next(iter(mine)))
            self._by_kind[forgotten.kind] -= forgotten.raised

    def by_kind(self) -> dict[AlertKind, int]:
        """How many stand of each kind of which any does."""
        return {kind: self._by_kind[kind] for kind in AlertKind if self._by_kind[kind]}

    def newest(self, count: int) -> list[Alert]:
        """At most so many, the newest first."""
        # They come nearly in order: sorting is faster here than a heap.
        return sorted(self._raised.values(), key=attrgetter("t_ms"), reverse=True)[:count]

    def of(self, pack_id: str, cell: int) -> list[Alert]:
        """Those of a cell."""
        names = ((pack_id, cell, kind) for kind in AlertKind)
        return [self._raised[name] for name in names if name in self._raised]


def _order(alert: Alert) -> tuple[int, bool]:
    """At one step an alert may begin and, with its pack, be over."""
    return alert.step, not alert.raised
