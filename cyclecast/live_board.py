"""The live board as a process of its own: a subscriber to predictions and alerts like any other, and a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import msgspec
import typer

from cyclecast.subscription import read
from stream.board.app import Board
from stream.clock import SystemClock
from stream.health import Health
from stream.http import HttpServer, service_app
from stream.kafka.subscribe import NoTopicError, subscribe
from stream.records import Alert, Prediction
from stream.settings import Settings
from stream.telemetry import Telemetry

_BUDGET_S = 30.0
_LOOK_S = 2.0


class LiveBoard:
    """A page, and what it follows: predictions, without which it is not ready, and alerts, where there are any."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        clock = SystemClock()
        self.health, self.telemetry = Health(clock), Telemetry()
        self.board = Board(self.health, clock)

    async def serve(self, port: int, ready: Callable[[str], None]) -> None:
        """Serves until cancelled; ``ready`` is told the address. It waits for a broker or a topic that is not there."""
        app = service_app(self.telemetry, self.health, self.board)
        host = self.settings.http.host
        async with HttpServer(app, host, port, self.board, port_from="--port") as server:
            ready(server.url)
            await asyncio.gather(self._predictions(), self._alerts())

    async def _predictions(self) -> None:
        topic, decode = self.settings.topics.predictions, msgspec.json.Decoder(Prediction).decode

        def there(known: bool) -> None:
            if known:
                self.health.meet(topic, f"followed at {self.settings.kafka.bootstrap}")
                return
            self.health.require(topic, "does not exist yet; `cyclecast stream` creates it")
            typer.echo(f"{topic} does not exist yet: waiting for it; `cyclecast stream` creates it", err=True)

        def feed(prediction: Prediction) -> None:
            self.board.feed(prediction)
            self.telemetry.predictions.inc()

        await self._follow(topic, decode, there, feed)

    async def _alerts(self) -> None:
        topic, decode = self.settings.topics.alerts, msgspec.json.Decoder(Alert).decode

        def there(known: bool) -> None:
            self.board.tell_alerts(known)
            absent = "does not exist: alerts are shown as soon as it does"
            self.health.meet(topic, f"followed at {self.settings.kafka.bootstrap}" if known else absent)
            if not known:
                typer.echo(f"{topic} {absent}", err=True)

        await self._follow(topic, decode, there, self.board.feed_alert)

    async def _follow(
        self,
        topic: str,
        decode: Callable[[bytes], Any],
        there: Callable[[bool], None],
        feed: Callable[[Any], None],
    ) -> None:
        """Feeds what the topic holds and what comes. It is told whether the topic is there, and looked for until so."""
        self.health.require(topic, f"connecting to {self.settings.kafka.bootstrap}")
        known: bool | None = None
        while True:
            try:
                async with aclosing(subscribe(self.settings, [topic], "earliest", patience_s=None)) as polls:
                    async for records in polls:
                        if not known:
                            there(known := True)
                        # It beats from the first poll on: a broker that is away until then is no fault of this process.
                        self.health.expect(topic, _BUDGET_S)
                        for record in records:
                            if (value := read(record, decode)) is not None:
                                feed(value)
                        await asyncio.sleep(0)
            except NoTopicError:
                if known is None:
                    there(known := False)
                await asyncio.sleep(_LOOK_S)
