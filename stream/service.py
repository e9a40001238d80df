"""The stream service's lifetime: build, run, drain on a signal, leave."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys

import structlog
import torch

from model.artifact import Artifact, Manifest, load
from model.predictor import Predictor
from stream.assembly import assemble, shadow_of, warm_kernels
from stream.clock import SystemClock
from stream.delivery import AtLeastOnce, Outlet
from stream.errors import ConfigurationError
from stream.health import Health
from stream.http import HttpServer, service_app
from stream.kafka.changelog import KafkaChangelog
from stream.kafka.handover import murmur2
from stream.kafka.sink import KafkaSink
from stream.kafka.source import KafkaSource
from stream.kafka.topics import ensure, ensure_state, largest_message, wanted, wanted_by_shadow
from stream.kafka.transactions import ExactlyOnce, has_transactions
from stream.kafka.watchdog import Watchdog
from stream.pipeline import Pipeline
from stream.reload import WINDOWS, Reloader, incompatible
from stream.settings import Settings
from stream.telemetry import Telemetry

log = structlog.get_logger()

LOOP_BUDGET_S = 60.0
MODEL_BUDGET_S = 60.0
GC_THRESHOLD = (100_000, 50, 100)  # records are acyclic and many: by default a tenth of the time would go to looking
SWITCH_INTERVAL_S = (
    0.0005  # the model's thread asks for the interpreter many times a batch; 5 ms each would be its cost
)


class Service:
    """One member of the consumer group. `run` ends when it is told to `stop`, or when nothing arrives for long."""

    def __init__(self, settings: Settings, until_idle_s: float | None = None) -> None:
        self.settings = settings
        self.until_idle_s = until_idle_s
        self.clock = SystemClock()
        self.telemetry = Telemetry()
        self.health = Health(self.clock)
        self._source: KafkaSource | None = None
        self._reloader: Reloader | None = None
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Starts, streams, and leaves cleanly. Raises what ended it when that was not asked for."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        torch.set_num_threads(1)
        loop = asyncio.get_running_loop()
        self._running = asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        app = service_app(self.telemetry, self.health, board=None)
        try:
            async with HttpServer(app, self.settings.http.host, self.settings.http.port) as server:
                log.info("health and metrics", url=server.url)
                await self._stream()
        except asyncio.CancelledError:
            log.info("stopped before the stream was running")
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)
        log.info("stopped")

    def stop(self) -> None:
        """Drains: what was read is published and committed, then the group is left. A second call does not wait."""
        if self._source is not None:
            log.info("draining")
            self._source.end()
            self._source = None
        elif self._running is not None:
            self._running.cancel()

    def reload(self) -> None:
        """Looks for a newer model at once; before the stream runs, the newest is being loaded anyway."""
        if self._reloader is not None:
            self._reloader.request()

    async def _stream(self) -> None:
        settings = self.settings
        self.health.require("model", "loading")
        self.health.require("broker", f"connecting to {settings.kafka.bootstrap}")
        artifact = await asyncio.to_thread(load, settings.model.path)
        predictor = await asyncio.to_thread(self._warmed, artifact)
        await asyncio.to_thread(warm_kernels, artifact.manifest)
        await asyncio.to_thread(murmur2, [b""])
        self.telemetry.model_is(artifact.model_id)
        self.health.meet("model", f"{artifact.model_id} warm on {predictor.device} in {predictor.precision}")

        await ensure(settings, wanted(settings))
        transactions = await has_transactions(settings)
        changelog = None
        sink = None
        if transactions:
            await ensure_state(settings)
            changelog = KafkaChangelog(settings, self.clock)
        else:
            sink = await KafkaSink.start(settings)
        self.health.expect("loop", LOOP_BUDGET_S)
        source = self._source = await KafkaSource.start(settings, self.telemetry, self.health, self.clock)
        self.health.meet("broker", settings.kafka.bootstrap)
        delivery = "exactly-once" if transactions else "at-least-once"
        self.health.meet("delivery", delivery)
        self.health.expect("model", MODEL_BUDGET_S)
        outlet: Outlet = (
            ExactlyOnce(
                settings,
                self.telemetry,
                self.clock,
                letter_bytes=await largest_message(settings, settings.topics.dead_letters),
            )
            if sink is None
            else AtLeastOnce(
                sink,
                source.commit,
                interval_s=settings.commit.interval_ms / 1000,
                telemetry=self.telemetry,
                clock=self.clock,
            )
        )
        pipeline = assemble(
            source,
            outlet,
            predictor,
            artifact.manifest,
            settings,
            telemetry=self.telemetry,
            clock=self.clock,
            changelog=changelog,
            on_model_turn=lambda: self.health.beat("model"),
        )
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        reloader = self._reloader = Reloader(
            settings.model.path, artifact.manifest, self._warmed, pipeline.runner.swap, self.telemetry
        )
        log.info("streaming", model=artifact.model_id, group=settings.kafka.group, delivery=delivery)
        watchdog = Watchdog(settings, self.health, source.progress)
        shadowed = self._shadow(pipeline, artifact.manifest)
        watched = (self._end_when_idle(source), watchdog.run(), reloader.run(), shadowed)
        watches = [asyncio.create_task(each) for each in watched]
        try:
            await pipeline.run()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.wait(watches)
            await source.stop()
            if sink is not None:
                await sink.stop()

    def _warmed(self, artifact: Artifact) -> Predictor:
        """The artifact's predictor, ready to answer."""
        predictor = Predictor(artifact, self.settings.model.device, self.settings.model.precision)
        predictor.warm(self.settings.batch.max_windows)
        return predictor

    async def _shadow(self, pipeline: Pipeline, first: Manifest) -> None:
        """Runs the shadow model, if one is set; whatever is wrong with it is said, and the stream goes on without."""
        settings = self.settings
        if settings.model.shadow is None:
            return
        try:
            artifact = await asyncio.to_thread(load, settings.model.shadow)
            if reason := incompatible(first, artifact.manifest, WINDOWS):
                raise ConfigurationError(reason)
            predictor = await asyncio.to_thread(self._warmed, artifact)
            await ensure(settings, wanted_by_shadow(settings))
            sink = await KafkaSink.start(settings)
        except Exception as error:  # noqa: BLE001 - a model on trial must not end the one that answers
            log.error("the shadow model does not run", reason=str(error))
            return
        shadow = pipeline.shadow = shadow_of(pipeline, first, artifact.manifest, predictor, sink, settings)
        log.info("shadowed", model=artifact.model_id, topic=settings.topics.shadow_predictions)
        try:
            await shadow.run()
        finally:
            pipeline.shadow = None
            await sink.stop()

    async def _end_when_idle(self, source: KafkaSource) -> None:
        while self.until_idle_s is not None:
            await asyncio.sleep(0.1)
            if source.idle_s() >= self.until_idle_s:
                log.info("nothing arrived, ending", idle_s=self.until_idle_s)
                source.end()
                return


async def run_service(settings: Settings, until_idle_s: float | None = None) -> None:
    """Runs one service until a signal, or until nothing arrived for ``until_idle_s``."""
    await Service(settings, until_idle_s).run()
