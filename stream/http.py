"""The service over HTTP: probes, metrics and the board, served from inside a running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream import telemetry
from stream.board.app import Board
from stream.errors import ConfigurationError
from stream.health import Health, Report

_GRACE_S = 2
_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; frame-ancestors 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class HttpUnavailableError(ConfigurationError):
    """The server cannot listen where it was told to; the message says what to change."""


def service_app(metrics: telemetry.Telemetry, health: Health, board: Board | None) -> Starlette:
    """``/healthz``, ``/readyz``, ``/metrics``, and the board at ``/`` where there is one."""

    async def healthz(_request: Request) -> Response:
        return _report(health.alive())

    async def readyz(_request: Request) -> Response:
        return _report(health.ready())

    async def expose(_request: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": telemetry.CONTENT_TYPE})

    routes: list[BaseRoute] = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", expose)]
    if board is not None:
        routes += board.routes
    return Starlette(routes=routes, middleware=[Middleware(GZipMiddleware, compresslevel=3), Middleware(_Headers)])


class HttpServer:
    """``async with HttpServer(app, host, port, board):`` serves while the block runs. Port 0 takes a free one.

    ``port_from`` is the setting or flag that an error is to name.
    It leaves signals to the service, and ends the board's streams before it waits for open requests.
    """

    def __init__(
        self, app: Starlette, host: str, port: int, board: Board | None = None, *, port_from: str = "http.port"
    ) -> None:
        self._host = host
        self._port_from = port_from
        self._board = board
        self._port = port
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = _Server(config)

    @property
    def port(self) -> int:
        """The port in use, once started."""
        return self._port

    @property
    def url(self) -> str:
        """Where a person on this machine finds it."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host and host[0] != '[' else host}:{self.port}"

    async def start(self) -> None:
        """Listens. Raises ``HttpUnavailableError`` where the address cannot be had."""
        self._socket = self._listen()
        self._port = int(self._socket.getsockname()[1])
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]), name="http")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise HttpUnavailableError("the HTTP server ended while it started")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Ends streams, finishes open requests within a grace period, closes the port."""
        if self._board is not None:
            self._board.close()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        if self._socket is not None:
            self._socket.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family, backlog=128)
        except OSError as error:
            why = (error.strerror or str(error)).partition(" (while")[0]  # there it repeats the address
            raise HttpUnavailableError(
                f"{self._port_from} = {self._port}: cannot listen on {self._host}:{self._port} ({why}); "
                "choose another port (0: any free one), or another http.host"
            ) from error


class _Server(uvicorn.Server):
    """Without its own signal handlers: the service decides when to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Headers:
    """Keeps the page to its own origin, whatever a pack calls itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


def _report(report: Report) -> Response:
    body = msgspec.json.encode({"ok": report.ok, "parts": report.parts})
    headers = {"cache-control": "no-store"}
    return Response(body, 200 if report.ok else 503, headers, "application/json")
