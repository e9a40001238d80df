"""A network between a client and a broker that can be made to stall, in one direction or both, and to break."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from stream.kafka.broker import HOST

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards what arrives on ``port`` to ``target``, both on this machine, and back. Holds on exit nothing open."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self._there = asyncio.Event()
        self._back = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def bootstrap(self) -> str:
        """``HOST:PORT`` for Kafka clients."""
        return f"{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        """Listens and forwards."""
        self.flow()
        self._server = await asyncio.start_server(self._connected, HOST, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Listens no more, and cuts what is open."""
        assert self._server is not None
        self._server.close()
        self.flow()
        self.cut()
        await self._server.wait_closed()

    def stall(self, *, there: bool, back: bool) -> None:
        """Forwards nothing more ``there`` (to the broker) or ``back``. Connections stay, and bytes wait."""
        for gate, shut in ((self._there, there), (self._back, back)):
            if shut:
                gate.clear()

    def flow(self) -> None:
        """Forwards in both directions again, what waited first."""
        self._there.set()
        self._back.set()

    def cut(self) -> None:
        """Breaks every connection; what was on its way is lost. New ones are taken."""
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            target_reader, target_writer = await asyncio.open_connection(HOST, self.target)
            self._open.add(target_writer)
            try:
                await asyncio.gather(
                    _forward(reader, target_writer, self._there), _forward(target_reader, writer, self._back)
                )
            finally:
                self._open.discard(target_writer)
                target_writer.transport.abort()
        except OSError:
            pass  # the broker is away: the client sees its connection close
        finally:
            self._open.discard(writer)
            writer.transport.abort()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK_BYTES):
            await gate.wait()
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
