"""The board over HTTP: a page, its API, and a stream of what changed."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from stream.board.fleet import Change, Fleet, Truth
from stream.board.hub import Hub, Subscriber
from stream.clock import Clock
from stream.health import Health
from stream.records import Alert, Prediction

STATIC = Path(__file__).parent / "static"
DELIVERY = "delivery"

_TICK_S = 0.25
_QUIET_TICKS = 4
_CELLS_PER_TICK = 4000
_WEAKEST = 40
_ALERTS = 200
_MAX_READERS = 64
_SNAPSHOT_AGE_S = 0.5


class Board:
    """Fed with predictions and alerts, serves the page. Without readers it just keeps state."""

    def __init__(self, health: Health, clock: Clock, *, truth: Truth | None = None) -> None:
        self.fleet = Fleet(clock, truth=truth)
        self.hub = Hub(b"event: resync\ndata: {}\n\n", _MAX_READERS)
        self._health = health
        self._clock = clock
        self._boot = secrets.token_hex(4)
        self._ticker: asyncio.Task[None] | None = None
        self._snapshot = b""
        self._snapshot_s = float("-inf")
        self._snapshot_seq = -1
        self._ticks = 0
        self._alerts_known = True
        self._alerts_told: int | None = 0

    def feed(self, prediction: Prediction) -> None:
        """Takes one prediction; cheap, and never waits."""
        self.fleet.feed(prediction)

    def feed_alert(self, alert: Alert) -> None:
        """Takes one alert that begins or ends; as cheap."""
        self.fleet.standing.feed(alert)

    def tell_alerts(self, known: bool) -> None:
        """Whether there is anything that alerts come from; without it the page does not say that none stands."""
        self._alerts_known, self._alerts_told = known, None

    def close(self) -> None:
        """Ends the streams of all readers, so that the server can stop."""
        self.hub.close()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    @property
    def routes(self) -> list[BaseRoute]:
        """The board's routes, to be mounted at the root."""
        return [
            Route("/", self._page),
            Route("/api/fleet", self._get_fleet),
            Route("/api/pack/{pack_id:path}", self._get_pack),
            Route("/api/cell/{pack_id:path}/{cell:int}", self._get_cell),
            Route("/events", self._get_events),
            Mount("/static", _Assets(directory=STATIC)),
        ]

    async def _page(self, _request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    async def _get_fleet(self, _request: Request) -> Response:
        now_s = self._clock.monotonic_s()
        # One body serves many readers, but never across a delta: a reader that joined after it would miss it.
        if self.fleet.seq != self._snapshot_seq or now_s - self._snapshot_s >= _SNAPSHOT_AGE_S:
            snapshot = msgspec.to_builtins(self.fleet.snapshot(_WEAKEST, _ALERTS))
            if not self._alerts_known:
                snapshot["alerts"] = None
            self._snapshot = msgspec.json.encode({"boot": self._boot, **snapshot, "service": self._service()})
            self._snapshot_s, self._snapshot_seq = now_s, self.fleet.seq
        return _json(self._snapshot)

    async def _get_pack(self, request: Request) -> Response:
        view = self.fleet.pack(request.path_params["pack_id"])
        return _not_found("pack") if view is None else _json(msgspec.json.encode(view))

    async def _get_cell(self, request: Request) -> Response:
        view = self.fleet.cell(request.path_params["pack_id"], request.path_params["cell"])
        return _not_found("cell") if view is None else _json(msgspec.json.encode(view))

    async def _get_events(self, _request: Request) -> Response:
        reader = self.hub.join()
        if reader is None:
            return _json(b'{"error":"too many readers, or the service is ending"}', 503)
        if self._ticker is None:
            self.fleet.forget_changes()
            self._ticker = asyncio.get_running_loop().create_task(self._tick(), name="board")
        reader.offer(_event("hello", {"boot": self._boot}))
        return _EventStream(self.hub, reader)

    async def _tick(self) -> None:
        """Publishes what changed at most four times a second, and a sign of life each second, while anyone reads."""
        quiet = 0
        try:
            while len(self.hub):
                seq, cells = self.fleet.take_changes(_CELLS_PER_TICK)
                quiet = 0 if cells else quiet + 1
                if cells or quiet % _QUIET_TICKS == 0:
                    self._ticks += 1
                    self.hub.publish(self._delta(seq, cells, tables=not cells or self._ticks % _QUIET_TICKS == 0))
                await asyncio.sleep(_TICK_S)
        finally:
            self._ticker = None
            self.hub.end_streams()

    def _delta(self, seq: int, cells: dict[str, list[Change]], *, tables: bool) -> bytes:
        delta: dict[str, Any] = {
            "boot": self._boot,
            "seq": seq,
            "cells": cells,
            "flag_names": self.fleet.flag_names,
            "summary": self.fleet.summary(),
            "service": self._service(),
        }
        if tables:
            delta |= {"histogram": self.fleet.histogram(), "weakest": self.fleet.weakest(_WEAKEST)}
            if self._alerts_known and self._alerts_told != (changes := self.fleet.standing.changes):
                self._alerts_told = changes
                delta["alerts"] = self.fleet.alerts(_ALERTS)
        return _event("delta", delta)

    def _service(self) -> dict[str, Any]:
        ready, alive = self._health.ready(), self._health.alive()
        return {
            "ready": ready.ok,
            "alive": alive.ok,
            "delivery": self._health.detail(DELIVERY),
            "conditions": ready.parts,
            "heartbeats": alive.parts,
        }


class _Assets(StaticFiles):
    """Files that a browser asks about each time, so that a page is never half of an old version."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


class _EventStream(StreamingResponse):
    """Server-sent events of one reader, who is let go however the response ends."""

    def __init__(self, hub: Hub, reader: Subscriber) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(reader.events(), headers=headers, media_type="text/event-stream")
        self._hub = hub
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._reader)


def _event(name: str, data: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, {"cache-control": "no-store"}, "application/json")


def _not_found(what: str) -> Response:
    return _json(b'{"error":"this ' + what.encode() + b' is not known"}', 404)
