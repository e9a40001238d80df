"""The live board as a process of its own: a subscriber to predictions and alerts like any other, and a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import msgspec

from stream.board.app import Board
from stream.clock import SystemClock
from stream.health import Health
from stream.http import HttpServer, service_app
from stream.kafka.subscribe import subscribe
from stream.records import Alert, Prediction
from stream.settings import Settings
from stream.telemetry import Telemetry

_BUDGET_S = 30.0


async def serve_board(settings: Settings, port: int, ready: Callable[[str], None]) -> None:
    """Serves until cancelled; ``ready`` is told the address. It waits for a broker that is away."""
    clock = SystemClock()
    health, telemetry = Health(clock), Telemetry()
    health.require("broker", f"connecting to {settings.kafka.bootstrap}")
    board = Board(health, clock)
    prediction_of, alert_of = msgspec.json.Decoder(Prediction).decode, msgspec.json.Decoder(Alert).decode
    async with HttpServer(service_app(telemetry, health, board), settings.http.host, port, board) as server:
        ready(server.url)
        topics = settings.topics
        followed = (topics.predictions, topics.alerts)
        async with aclosing(subscribe(settings, followed, "earliest", patience_s=None)) as polls:
            health.expect("loop", _BUDGET_S)
            async for records in polls:
                health.beat("loop")
                health.meet("broker", settings.kafka.bootstrap)
                for record in records:
                    if record.value is None:
                        continue
                    if record.topic == topics.alerts:
                        board.feed_alert(alert_of(record.value))
                    else:
                        board.feed(prediction_of(record.value))
                        telemetry.predictions.inc()
                await asyncio.sleep(0)
