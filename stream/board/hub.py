"""One producer of events, many readers of which none can hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

_DEPTH = 8


class Subscriber:
    """One reader's bounded queue. A reader that falls behind loses its queue and is told to fetch the snapshot."""

    def __init__(self, resync: bytes) -> None:
        self._resync = resync
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_DEPTH)

    def offer(self, event: bytes | None) -> None:
        """Puts an event in; ``None`` ends the stream after what was put before."""
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put_nowait(self._resync)
        self._queue.put_nowait(event)

    async def events(self) -> AsyncIterator[bytes]:
        """Events in order, until the end."""
        while (event := await self._queue.get()) is not None:
            yield event


class Hub:
    """Hands every event to every reader, without waiting for any. At most ``max_readers`` at a time."""

    def __init__(self, resync: bytes, max_readers: int) -> None:
        self._resync = resync
        self._max_readers = max_readers
        self._readers: set[Subscriber] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._readers)

    def join(self) -> Subscriber | None:
        """A new reader, or nothing where there are too many or the hub is closed."""
        if self._closed or len(self._readers) >= self._max_readers:
            return None
        reader = Subscriber(self._resync)
        self._readers.add(reader)
        return reader

    def leave(self, reader: Subscriber) -> None:
        """The reader is gone."""
        self._readers.discard(reader)

    def publish(self, event: bytes) -> None:
        """One event to all."""
        for reader in self._readers:
            reader.offer(event)

    def close(self) -> None:
        """Ends every stream; nobody joins any more."""
        self._closed = True
        self.end_streams()

    def end_streams(self) -> None:
        """Ends the streams of those who read now; they may come back."""
        for reader in self._readers:
            reader.offer(None)
