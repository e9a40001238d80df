from __future__ import annotations

import asyncio
import gzip
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from msgspec import to_builtins

from stream.board.app import Board
from stream.clock import SystemClock
from stream.health import Health
from stream.http import HttpServer, HttpUnavailableError, service_app
from stream.telemetry import Telemetry
from tests.alerts import alert
from tests.predictions import predict

PATIENCE_S = 60


class Service:
    """A served app and its parts."""

    def __init__(self, *, board: bool = True) -> None:
        clock = SystemClock()
        self.telemetry = Telemetry()
        self.health = Health(clock)
        self.board = Board(self.health, clock) if board else None
        app = service_app(self.telemetry, self.health, self.board)
        self.server = HttpServer(app, "127.0.0.1", 0, self.board)

    async def get(self, path: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await self.ask(path, "connection: close", *headers)
        raw = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
        await writer.wait_closed()
        head, _, body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines)
        return int(status.split()[1]), fields, body

    async def get_json(self, path: str) -> tuple[int, Any]:
        status, _, body = await self.get(path)
        return status, json.loads(body)

    async def ask(self, path: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=2**22)
        writer.write("\r\n".join([f"GET {path} HTTP/1.1", "host: here", *headers, "", ""]).encode())
        await writer.drain()
        return reader, writer


@asynccontextmanager
async def serving(*, board: bool = True) -> AsyncIterator[Service]:
    service = Service(board=board)
    async with service.server:
        yield service


async def next_event(reader: asyncio.StreamReader, name: str) -> Any:
    """The data of the next event of that name."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            line = await reader.readline()
            assert line, "the stream ended"
            if line == f"event: {name}\n".encode():
                data = await reader.readline()
                return json.loads(data.removeprefix(b"data: "))


async def test_probes_answer_200_or_503_and_name_the_part() -> None:
    async with serving(board=False) as service:
        service.health.expect("event loop", 1000)
        service.health.require("model", "warming up")
        assert await service.get_json("/healthz") == (
            200,
            {"ok": True, "parts": {"event loop": {"ok": True, "age_s": pytest.approx(0, abs=60), "budget_s": 1000}}},
        )
        status, body = await service.get_json("/readyz")
        assert (status, body["ok"], body["parts"]["model"]["detail"]) == (503, False, "warming up")
        service.health.meet("model", "warm")
        assert (await service.get_json("/readyz"))[0] == 200
        service.health.expect("model thread", -1)
        status, body = await service.get_json("/healthz")
        assert (status, body["parts"]["model thread"]["ok"]) == (503, False)
        assert (await service.get_json("/readyz"))[0] == 503


async def test_metrics_are_prometheus_text() -> None:
    async with serving() as service:
        service.telemetry.predictions.inc(42)
        status, fields, body = await service.get("/metrics")
        assert status == 200
        assert fields["content-type"].startswith("text/plain; version=0.0.4")
        assert b"\ncyclecast_predictions_total 42.0\n" in body


async def test_without_a_board_there_is_no_page() -> None:
    async with serving(board=False) as service:
        assert (await service.get("/"))[0] == 404


async def test_a_taken_port_is_a_clear_error_that_says_what_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for named, words in (({}, r"http\.port"), ({"port_from": "--port"}, "--port")):
            server = HttpServer(service_app(Telemetry(), Health(SystemClock()), None), "127.0.0.1", port, **named)
            told = rf"^{words} = {port}: cannot listen on 127\.0\.0\.1:{port} \(Address already in use\); .*0: any free"
            with pytest.raises(HttpUnavailableError, match=told):
                await server.start()


async def test_the_port_is_free_again_after_the_stop_even_with_open_streams() -> None:
    async with serving() as service:
        port = service.server.port
        assert service.server.url == f"http://127.0.0.1:{port}"
        reader, writer = await service.ask("/events")
        await next_event(reader, "hello")
    assert b"event: hello" not in await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_signal_handlers_stay_the_services_own() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with serving() as service:
        await service.get("/healthz")
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_a_reader_that_joins_then_loads_the_snapshot_misses_nothing() -> None:
    async with serving() as service:
        assert service.board is not None
        service.board.feed(predict(soh=0.91))
        await service.get("/api/fleet")
        service.board.feed(predict(cell=1, soh=0.92))
        reader, writer = await service.ask("/events")
        await next_event(reader, "hello")
        _, snapshot = await service.get_json("/api/fleet")
        assert snapshot["packs"]["P1"]["soh"] == [0.91, 0.92]
        service.board.feed(predict("P2", soh=0.93))
        while "P2" not in (delta := await next_event(reader, "delta"))["cells"]:
            pass
        assert delta["seq"] > snapshot["seq"]
        assert delta["boot"] == snapshot["boot"]
        assert delta["cells"] == {"P2": [[0, 0.93, 400.0, 0]]}
        assert delta["summary"]["cells"] == 3
        writer.close()


async def test_alerts_are_in_the_snapshot_and_in_the_deltas_where_they_changed() -> None:
    async with serving() as service:
        assert service.board is not None
        service.board.feed(predict())
        first, second = alert(step=1), alert(cell=5, step=2)
        service.board.feed_alert(first)
        reader, writer = await service.ask("/events")
        await next_event(reader, "hello")
        _, snapshot = await service.get_json("/api/fleet")
        assert snapshot["alerts"] == {"standing": {"outlier": 1}, "newest": [to_builtins(first)]}
        assert (await service.get_json("/api/cell/P1/0"))[1]["alerts"] == [to_builtins(first)]

        service.board.feed_alert(second)
        while len((delta := await next_event(reader, "delta")).get("alerts", {}).get("newest", ())) < 2:
            pass
        assert delta["alerts"] == {"standing": {"outlier": 2}, "newest": [to_builtins(second), to_builtins(first)]}
        assert delta["seq"] > snapshot["seq"]
        service.board.feed_alert(first)  # comes again
        for _ in range(2):  # each with the tables: no cell changed
            assert "alerts" not in await next_event(reader, "delta")
        writer.close()


async def test_a_reader_that_left_is_let_go() -> None:
    async with serving() as service:
        assert service.board is not None
        reader, writer = await service.ask("/events")
        await next_event(reader, "hello")
        assert len(service.board.hub) == 1
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            while len(service.board.hub):  # noqa: ASYNC110 - nothing tells that a socket was noticed to be gone
                await asyncio.sleep(0.02)


async def test_cell_and_pack_are_found_under_any_name() -> None:
    async with serving() as service:
        assert service.board is not None
        for name in ("depot 7/bus 12", "Zelle-ü", "<b>x</b>", "a/0"):
            service.board.feed(predict(name, 7, soh=0.875))
            path = quote(name, safe="")
            status, view = await service.get_json(f"/api/cell/{path}/7")
            assert status == 200
            assert (view["pack_id"], view["cell"]) == (name, 7)
            assert view["prediction"]["soh"]["p50"] == 0.875
            assert view["prediction"]["source"] == {"topic": "bms.telemetry", "partition": 3, "offset": 9001}
            status, view = await service.get_json(f"/api/pack/{path}")
            assert (status, view["pack_id"], view["cells"]) == (200, name, 1)


async def test_what_is_not_known_is_404_and_json() -> None:
    async with serving() as service:
        for path in ("/api/cell/P1/0", "/api/pack/P1"):
            status, body = await service.get_json(path)
            assert status == 404
            assert "not known" in body["error"]


async def test_a_large_snapshot_is_compressed_and_the_page_keeps_to_its_origin() -> None:
    async with serving() as service:
        assert service.board is not None
        for cell in range(900):
            service.board.feed(predict(cell=cell, soh=0.8 + cell / 9000))
        _, fields, body = await service.get("/api/fleet", "accept-encoding: gzip")
        assert fields["content-encoding"] == "gzip"
        if fields.get("transfer-encoding") == "chunked":
            body = unchunked(body)
        assert len(body) < 20_000
        assert len(json.loads(gzip.decompress(body))["packs"]["P1"]["soh"]) == 900
        status, fields, body = await service.get("/")
        assert status == 200
        assert fields["content-security-policy"].startswith("default-src 'self'")
        assert b"http://" not in body
        assert b"https://" not in body


async def test_assets_are_asked_about_each_time_and_sent_once() -> None:
    async with serving() as service:
        status, fields, _ = await service.get("/static/main.js")
        assert (status, fields["cache-control"]) == (200, "no-cache")
        assert fields["content-type"].startswith(("text/javascript", "application/javascript"))
        assert (await service.get("/static/main.js", f"if-none-match: {fields['etag']}"))[0] == 304
        assert (await service.get("/static/../app.py"))[0] == 404


async def test_too_many_readers_are_refused_and_the_others_stay() -> None:
    async with serving() as service:
        assert service.board is not None
        first, writer = await service.ask("/events")
        await next_event(first, "hello")
        while service.board.hub.join() is not None:
            pass
        assert (await service.get("/events"))[0] == 503
        service.board.feed(predict())
        assert (await next_event(first, "delta"))["summary"]["cells"] in (0, 1)
        writer.close()


def unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        parts.append(body[:length])
        body = body[length + 2 :]
    return b"".join(parts)
