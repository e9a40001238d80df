"""A subscriber who notes when predictions become readable, and how long he had to wait for one."""

from __future__ import annotations

import contextlib
import json
import time
from bisect import bisect_left
from collections.abc import Sequence

from stream.kafka.subscribe import subscribe
from stream.settings import Settings
from tests.service import identities


class Onlooker:
    """A subscriber who knows what was fed, and so what he waits for."""

    def __init__(self, settings: Settings, due: Sequence[int]) -> None:
        self.settings = settings
        self.seen = 0
        self.last_s = time.monotonic()
        self.stall_s = 0.0
        self._due = due
        self._fed = 0
        self._waits_since_s: float | None = None
        self._identities: set[tuple[str, int, int]] = set()

    @property
    def outstanding(self) -> int:
        """Predictions that are due by what was fed, and cannot be read yet."""
        return bisect_left(self._due, self._fed) - self.seen

    def fed(self, records: int) -> None:
        """So many records are acknowledged by now."""
        self._fed = records
        if self._waits_since_s is None and self.outstanding > 0:
            self._waits_since_s = time.monotonic()

    async def run(self) -> None:
        """Watches until cancelled. What nobody has seen before is counted, however often it comes."""
        stream = subscribe(self.settings, [self.settings.topics.predictions], "earliest", poll_ms=100)
        async with contextlib.aclosing(stream):
            async for polled in stream:
                self._identities.update(identities([json.loads(record.value) for record in polled]))
                if len(self._identities) > self.seen:
                    self._saw(len(self._identities), time.monotonic())

    def _saw(self, seen: int, now_s: float) -> None:
        if self._waits_since_s is not None and self.seen:  # until the first there is only a start
            self.stall_s = max(self.stall_s, now_s - self._waits_since_s)
        self.seen, self.last_s = seen, now_s
        self._waits_since_s = now_s if self.outstanding > 0 else None
