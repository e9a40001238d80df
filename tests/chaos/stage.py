"""Verbs for schedules: telemetry is fed, pods and brokers die, and in the end all is as if nothing had happened."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import islice
from operator import add
from typing import Protocol

from stream.kafka.sink import KafkaSink
from stream.kafka.topics import ensure, wanted
from stream.seams import Message, Record
from stream.settings import Settings
from tests.chaos.onlooker import Onlooker
from tests.chaos.pod import Pod
from tests.chaos.report import RECOVERY_S, Run
from tests.chaos.retention import delete_topics, delete_what_pages_hold
from tests.kafka.cluster import KafkaNode
from tests.kafka.proxy import Proxy
from tests.oracle import Agreement, Oracle, compare, compare_packs
from tests.service import consumed, predictions

BAD = b"bad record"  # what a value begins with that belongs into the dead letters
IDLE_S = 0.05
START_S = 240.0  # kernels may have to be compiled, by all pods at once
SEND_RECORDS = 5000
LOG_SHOWN = 20_000  # characters of a pod's log
FIRST_SHARE = 0.1  # of the telemetry goes ahead, until a pod has started
LAST_SHARE = 0.15  # of the telemetry is kept back until all faults are over: something is due after them


class Telemetry(Protocol):
    """Records in order, and how many: a list, or something that makes them while it is read."""

    def __iter__(self) -> Iterator[Record]:
        """From the first on."""

    def __len__(self) -> int:
        """All of them."""


class Stage:
    """One run of a schedule. Its verbs count the faults; `agrees` ends it, and holds it to the law.

    ``due``: the offset, in the telemetry, of the record that makes each prediction due, in order. ``once``: nothing may
    come twice. ``named``: the group knows a pod by its name, before and after a restart.
    """

    def __init__(
        self,
        schedule: str,
        seed: int,
        settings: Settings,
        telemetry: Telemetry,
        due: Sequence[int],
        oracle: Awaitable[Oracle],
        *,
        once: bool,
        named: bool = False,
    ) -> None:
        self.schedule = schedule
        self.seed = seed
        self.settings = settings
        self.records = len(telemetry)
        self.oracle = oracle
        self.once = once
        self.named = named
        self.chance = random.Random(f"{schedule} {seed}")
        self.onlooker = Onlooker(settings, due)
        self.run: Run | None = None
        self._began_s = time.monotonic()
        self._struck_s = self._began_s
        self._faults = 0
        self._restarts = 0
        self._pods: dict[Pod, asyncio.Task[None]] = {}
        self._unfed = iter(telemetry)
        self.sent = 0
        self._bad: set[bytes] = set()
        self._hurry = False
        self._feeding: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._sink: KafkaSink | None = None

    async def open(self) -> None:
        """Makes the topics; the onlooker takes his seat."""
        await ensure(self.settings, wanted(self.settings))
        self._sink = await KafkaSink.start(self.settings)
        self._watching = asyncio.create_task(self.onlooker.run())

    def result(self) -> Run:
        """What came of it; a run that did not come to its end is one that failed."""
        if self.run is None:
            self._note("gave up")
            self.run = self._run(Agreement(self.onlooker.seen, 0, self.onlooker.outstanding, 0), 0, passed=False)
        if not self.run.passed:
            for pod in self._pods:
                print(f"--- pod {self._name(pod)}, but for a life that has not ended ---\n{pod.log[-LOG_SHOWN:]}")
        return self.run

    async def close(self) -> None:
        """Ends all that still runs, and takes the topics away."""
        tasks = [*self._pods.values(), *filter(None, (self._feeding, self._watching))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._sink is not None:
            await self._sink.stop()
        await delete_topics(self.settings)

    async def feed(self, over_s: float, share: float = 1 - LAST_SHARE) -> None:
        """Sends a little of the telemetry and waits until what it makes due is readable; then sends on, evenly, in the
        background, up to this share. The rest is for the end of the run.
        """
        await self._send(min(int(self.records * FIRST_SHARE), SEND_RECORDS))
        await self._until(lambda: self.onlooker.outstanding <= 0, START_S)
        self._note(f"feed over {over_s:g} s")
        self._feeding = asyncio.create_task(self._feed(over_s, int(self.records * share)))

    def pods(self, *faults: str | None, through: Proxy | None = None) -> list[Pod]:
        """Starts a pod for each fault, ``None`` for one that is left alone; with a network of their own, if given."""
        return [self._pod(fault, through) for fault in faults]

    def kill(self, pod: Pod, *, for_good: bool = False) -> None:
        """SIGKILL."""
        pod.kill(for_good=for_good)
        self._struck(f"kill pod {self._name(pod)}" + (" for good" if for_good else ""))

    def leave(self, pod: Pod) -> None:
        """SIGTERM: it drains, and is not started again."""
        pod.leave()
        self._struck(f"end pod {self._name(pod)}")

    @contextlib.asynccontextmanager
    async def asleep(self, pod: Pod) -> AsyncIterator[None]:
        """SIGSTOP, and in the end SIGCONT."""
        pod.send(signal.SIGSTOP)
        self._struck(f"pod {self._name(pod)} sleeps")
        try:
            yield
        finally:
            pod.send(signal.SIGCONT)
        self._healed(f"pod {self._name(pod)} is awake")

    @contextlib.asynccontextmanager
    async def down(self, node: KafkaNode) -> AsyncIterator[None]:
        """The broker is killed, and in the end started again."""
        node.kill()
        self._struck(f"kill broker {node.node_id}")
        try:
            yield
        finally:
            await node.start()
        self._healed(f"broker {node.node_id} is up")

    @contextlib.contextmanager
    def fault(self, what: str) -> Iterator[None]:
        """Counts what is done within as one fault."""
        self._struck(what)
        yield
        self._healed(f"over: {what}")

    async def forget_telemetry(self) -> None:
        """Deletes what the pages of state make unnecessary; most of it, by now, or this is no test."""
        deleted = await delete_what_pages_hold(self.settings)
        assert deleted > 0
        self._struck(f"delete {deleted} records of telemetry")

    async def pause(self, least_s: float, most_s: float) -> None:
        """Lets a while pass, of a length that the seed chooses."""
        seconds = self.chance.uniform(least_s, most_s)
        self._note(f"pause {seconds:.2f} s")
        await asyncio.sleep(seconds)

    async def progress(self) -> None:
        """Waits until something becomes readable that was not before, if there is anything left to come."""
        seen = self.onlooker.seen
        await self._until(lambda: self.onlooker.seen > seen or self._over())
        self._note(f"{self.onlooker.seen} readable")

    async def fed(self) -> None:
        """Waits until what `feed` began is sent."""
        assert self._feeding is not None
        await self._feeding
        self._note(f"{self.sent} fed")

    async def readable(self) -> float:
        """Waits until all that is due is readable; returns when that was."""
        await self._until(lambda: self.onlooker.outstanding <= 0)
        return self.onlooker.last_s

    async def agrees(self) -> None:
        """Feeds the rest. All is readable within a minute of the last fault, pods end in order, and the law holds."""
        self._hurry = True
        if self._feeding is not None:
            await self._feeding
        await self._send(self.records)
        self._note("all is fed")
        all_fed_s = time.monotonic()
        recovery_s = max(await self.readable() - max(self._struck_s, all_fed_s), 0.0)
        self._note(f"all is readable, {recovery_s:.1f} s after the last fault")
        codes = await self._drained()
        topics, oracle = self.settings.topics, await self.oracle
        found, refused, alerts, rollups = await asyncio.gather(
            predictions(self.settings),
            *(consumed(self.settings, topic) for topic in (topics.dead_letters, topics.alerts, topics.packs)),
        )
        letters = [record.value for record in refused]
        agreement = self._with_letters(compare(found, oracle), letters)
        if self.once:  # elsewhere a pod that starts begins with nothing seen
            seen = ([json.loads(record.value) for record in records] for records in (alerts, rollups))
            _, *counts = compare_packs(*seen, oracle)
            agreement = agreement._make((agreement.published, *map(add, agreement[1:], counts)))
        lawful = not (agreement.missing or agreement.wrong or (self.once and agreement.duplicates))
        in_order = set(codes) <= {0, -signal.SIGTERM}  # the latter so early that nothing was begun
        self.run = self._run(agreement, len(letters), passed=lawful and in_order, recovery_s=recovery_s)
        assert lawful, agreement
        assert in_order, f"pods ended with {codes}"

    def _pod(self, fault: str | None, through: Proxy | None) -> Pod:
        name = len(self._pods) + 1
        own: dict[str, str] = {"instance_id": f"pod-{name}"} if self.named else {}
        if through is not None:
            own["bootstrap"] = through.bootstrap
        kafka = self.settings.kafka.model_copy(update=own)
        pod = Pod(self.settings.model_copy(update={"kafka": kafka}), fault, self._died)
        self._pods[pod] = asyncio.create_task(pod.run())
        self._note(f"start pod {name}" + " by name" * self.named + (f", to die at {fault}" if fault else ""))
        return pod

    async def _feed(self, over_s: float, until: int) -> None:
        begin_s, first = time.monotonic(), self.sent
        while self.sent < until and not self._hurry:
            await asyncio.sleep(IDLE_S)
            share = min((time.monotonic() - begin_s) / over_s, 1.0)
            await self._send(min(first + round((until - first) * share), self.sent + SEND_RECORDS))

    async def _send(self, until: int) -> None:
        assert self._sink is not None
        topic = self.settings.topics.telemetry
        records = list(islice(self._unfed, until - self.sent))
        self.sent += len(records)
        self._bad.update(each.value for each in records if each.value is not None and each.value.startswith(BAD))
        await (await self._sink.send([Message(topic, each.key, each.value, each.headers) for each in records]))
        self.onlooker.fed(self.sent)

    async def _until(self, true: Callable[[], bool], patience_s: float = RECOVERY_S) -> None:
        """Waits, so long from the last fault at most."""
        asked_s = time.monotonic()
        while not true():
            self._raise_failures()
            assert time.monotonic() < max(asked_s, self._struck_s) + patience_s, (
                f"too late: {self.onlooker.seen} readable, {self.onlooker.outstanding} outstanding"
            )
            await asyncio.sleep(IDLE_S)

    async def _drained(self) -> list[int | None]:
        for pod in self._pods:
            pod.leave()
        await asyncio.wait_for(asyncio.gather(*self._pods.values()), RECOVERY_S)
        return [pod.code for pod in self._pods if pod.code != -signal.SIGKILL]

    def _with_letters(self, found: Agreement, letters: Sequence[bytes]) -> Agreement:
        different = set(letters)
        return found._replace(
            duplicates=found.duplicates + len(letters) - len(different),
            missing=found.missing + len(self._bad - different),
            wrong=found.wrong + len(different - self._bad),
        )

    def _run(self, agreement: Agreement, letters: int, *, passed: bool, recovery_s: float = RECOVERY_S) -> Run:
        return Run(
            schedule=self.schedule,
            seed=self.seed,
            passed=passed,
            faults=self._faults,
            restarts=self._restarts,
            records=self.sent,
            predictions=agreement.published,
            dead_letters=letters,
            duplicates=agreement.duplicates,
            missing=agreement.missing,
            wrong=agreement.wrong,
            stall_s=self.onlooker.stall_s,
            recovery_s=recovery_s,
        )

    def _died(self, pod: Pod, code: int) -> None:
        self._restarts += 1
        if pod.fault is not None and code == -signal.SIGKILL:
            self._struck(f"pod {self._name(pod)} died at {pod.fault}")
        else:
            self._note(f"pod {self._name(pod)} ended with {code}, start it again")

    def _over(self) -> bool:
        return self._feeding is not None and self._feeding.done() and self.onlooker.outstanding <= 0

    def _struck(self, what: str) -> None:
        self._faults += 1
        self._healed(what)

    def _healed(self, what: str) -> None:
        self._struck_s = time.monotonic()
        self._note(what)

    def _note(self, what: str) -> None:
        print(f"seed {self.seed} at {time.monotonic() - self._began_s:5.1f} s: {what}")

    def _name(self, pod: Pod) -> int:
        return [*self._pods].index(pod) + 1

    def _raise_failures(self) -> None:
        for task in (*self._pods.values(), self._feeding, self._watching):
            if task is not None and task.done() and not task.cancelled() and (error := task.exception()):
                raise error
