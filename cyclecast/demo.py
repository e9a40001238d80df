"""The demo: broker, replay of the sample fleet, stream, board and a subscriber, in one process tree."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec
import typer

import replay
from cyclecast.demo_status import DemoStatus, Progress
from cyclecast.demo_summary import show_summary, true_soh
from model.artifact import read_manifest, resolve
from model.recording import Recording
from replay.feeder import Feed, rebased_shift_ms
from replay.fleet import members
from replay.readers import read
from replay.replayer import Counts, Replayer
from stream.assembly import warm_kernels
from stream.board.app import Board
from stream.clock import SystemClock
from stream.errors import ConfigurationError
from stream.http import HttpServer, HttpUnavailableError, service_app
from stream.kafka.broker import EmbeddedBroker
from stream.kafka.sink import KafkaSink
from stream.kafka.subscribe import subscribe
from stream.kafka.topics import ensure, wanted
from stream.logs import configure_logs
from stream.records import Alert, Prediction
from stream.service import Service
from stream.settings import KafkaSettings, Settings

SAMPLES = Path(replay.__file__).parent / "samples"
REPLAY_S = 20.0  # long enough to watch, short enough to wait for
_START_S = 8.0  # model, kernels and the group, before the first prediction
_LOOK_S = 0.25
_PATIENCE_S = 10.0


class Demo:
    """One demonstration. `run` returns the exit code."""

    def __init__(self, settings: Settings, duration_s: float | None, board_port: int | None) -> None:
        self.settings = settings
        self.duration_s = duration_s
        self.board_port = board_port
        self.clock = SystemClock()
        self.progress = Progress()
        self.values: list[bytes] = []
        self.recordings: list[Recording] = []

    async def run(self) -> int:
        """Starts everything, waits for the end, prints the summary."""
        self.recordings = read([SAMPLES])
        # The first run on a machine compiles for half a minute: before the broker is up nobody waits for predictions.
        manifest = read_manifest(resolve(self.settings.model.path))
        typer.echo(f"warming up {manifest.model_id}; {len(self.recordings)} recorded packs to replay")
        warm_kernels(manifest)
        async with contextlib.AsyncExitStack() as stack:
            broker = await stack.enter_async_context(EmbeddedBroker())
            began_s = self.progress.began_s = self.clock.monotonic_s()
            self.settings = _on(broker.bootstrap, self.settings)
            status = stack.enter_context(DemoStatus(self.progress, self.clock))
            status.say(f"broker ready at {broker.bootstrap}")
            await ensure(self.settings, wanted(self.settings), _PATIENCE_S)
            service = Service(self.settings)
            board = await self._serve(stack, service, status)
            working = asyncio.create_task(service.run(), name="service")
            watching = asyncio.create_task(self._watch(board), name="subscriber")
            playing = asyncio.create_task(self._play(stack, service), name="replay")
            try:
                finished = await self._until_done(service, working, (watching, playing), status, began_s)
                status.say("replay worked off" if self.progress.worked_off else "ending")
                if finished and self._stays_up(board):
                    status.pause()
                    self._summary(service)
                    status.say("the board stays up until Ctrl-C")
                    await working
                    return self._code()
            finally:
                await _ended(playing)
                if not working.done():
                    service.stop()
                await asyncio.wait([working])
                await _ended(watching)
        self._summary(service)
        return self._code() if finished else 130

    def _code(self) -> int:
        return 0 if self.progress.predictions else 1

    def _stays_up(self, board: Board | None) -> bool:
        return board is not None and self.duration_s is None and sys.stdout.isatty()

    async def _serve(self, stack: contextlib.AsyncExitStack, service: Service, status: DemoStatus) -> Board | None:
        if self.board_port is None:
            return None
        board = Board(service.health, self.clock, truth=true_soh(self.recordings))
        app = service_app(service.telemetry, service.health, board)
        server = HttpServer(app, self.settings.http.host, self.board_port, board, port_from="--port")
        try:
            await stack.enter_async_context(server)
        except HttpUnavailableError as error:
            raise ConfigurationError(f"{error}; or leave the board out: --no-board") from None
        status.say(f"live board at {server.url}")
        return board

    async def _play(self, stack: contextlib.AsyncExitStack, service: Service) -> None:
        """Replays the fleet as if its last record came now, in the time there is."""
        feed = Feed(members(self.recordings))
        self.progress.records_due = feed.records
        while not service.health.ready().ok:  # noqa: ASYNC110 - health is read, it wakes nobody
            await asyncio.sleep(_LOOK_S)
        replay_s = REPLAY_S if self.duration_s is None else max(self.duration_s - _START_S - 4.0, 2.0)
        speed = (feed.last_ms - feed.first_ms) / 1000 / replay_s
        shift_ms = rebased_shift_ms(feed.first_ms, feed.last_ms, self.clock.time_ms(), speed)
        sink = await KafkaSink.start(self.settings, _PATIENCE_S)
        stack.push_async_callback(sink.stop)

        def moved(counts: Counts) -> None:
            self.progress.records_sent = counts.records

        player = Replayer(
            Feed(members(self.recordings), shift_ms=shift_ms),
            sink,
            topic=self.settings.topics.telemetry,
            speed=speed,
            clock=self.clock,
            progress=moved,
        )
        await player.run()
        self.progress.replay_done = True

    async def _watch(self, board: Board | None) -> None:
        """Subscribes to predictions and alerts like anyone else would."""
        prediction_of, alert_of = msgspec.json.Decoder(Prediction).decode, msgspec.json.Decoder(Alert).decode
        topics = self.settings.topics
        followed = (topics.predictions, topics.alerts)
        async with aclosing(subscribe(self.settings, followed, "earliest", poll_ms=100)) as polls:
            async for records in polls:
                for record in records:
                    if record.topic == topics.alerts:
                        alert = alert_of(record.value)
                        self.progress.saw_alert(alert)
                        if board is not None:
                            board.feed_alert(alert)
                        continue
                    self.values.append(record.value)
                    prediction = prediction_of(record.value)
                    self.progress.saw(prediction, self.clock.monotonic_s())
                    if board is not None:
                        board.feed(prediction)

    async def _until_done(
        self,
        service: Service,
        working: asyncio.Task[None],
        others: Sequence[asyncio.Task[None]],
        status: DemoStatus,
        began_s: float,
    ) -> bool:
        """True when the replay is worked off or the time is over; false when a signal ended the service."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.progress.took_in(service.telemetry)
            status.refresh()
            for task in (working, *others):
                if task.done() and (error := task.exception()) is not None:
                    raise error
            if working.done():
                return False
            worked_off = self.progress.worked_off
            over = self.duration_s is not None and self.clock.monotonic_s() - began_s >= self.duration_s
            if over or (worked_off and self.duration_s is None):
                return True

    def _summary(self, service: Service) -> None:
        self.progress.took_in(service.telemetry)
        show_summary(self.settings, self.recordings, self.values, self.progress)


async def run_demo(settings: Settings, *, duration_s: float | None, board_port: int | None) -> int:
    """Runs the demo; logs below errors would only disturb its status."""
    configure_logs("error", console=True)
    return await Demo(settings, duration_s, board_port).run()


def _on(bootstrap: str, settings: Settings) -> Settings:
    """The settings on the embedded broker, which knows no security and needs no replicas."""
    topics = settings.topics.model_copy(update={"replication": 1})
    http = settings.http.model_copy(update={"port": 0})
    kafka = KafkaSettings(bootstrap=bootstrap, group=settings.kafka.group)
    return settings.model_copy(update={"kafka": kafka, "topics": topics, "http": http})


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
