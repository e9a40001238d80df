"""Finds out that the consumer has silently stopped: the broker has records for it, and polls bring none, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.health import Health
from stream.kafka.client import connection, started, stopped
from stream.seams import Partition
from stream.settings import Settings

log = structlog.get_logger()

HEARTBEAT = "consumer"
BUDGET_S = 60.0
LOOK_S = 5.0
GROUP = "the group"


class Progress(NamedTuple):
    """Where a consumer stands.

    ``drained`` counts polls that left nothing fetched behind; ``positions`` are those of the partitions that are open,
    ``None`` while it is no member of its group.
    """

    drained: int
    positions: Mapping[Partition, int] | None


class Look(NamedTuple):
    """The consumer's progress beside what the broker says when it is asked anew: the end of each partition."""

    progress: Progress
    ends: Mapping[Partition, int]


def halted(before: Look, now: Look) -> set[Partition | str]:
    """What did not move between two looks although the broker had something for it.

    A consumer that is held back by what comes after it leaves fetched records behind, and is not meant.
    """
    if before.progress.positions is None or now.progress.positions is None:
        return {GROUP} if before.progress.positions is now.progress.positions else set()
    if now.progress.drained == before.progress.drained:
        return set()
    return {
        partition
        for partition, position in now.progress.positions.items()
        if position == before.progress.positions.get(partition) and position < before.ends.get(partition, 0)
    }


class Watchdog:
    """Beats the heartbeat ``consumer`` while everything moves that could, or while the broker does not answer.

    It asks by a connection of its own: what the stopped consumer believes of the broker stopped with it. Whatever
    halted all the time since the last beat is held against it, so that a supervisor restarts the process.
    """

    def __init__(self, settings: Settings, health: Health, progress: Callable[[], Awaitable[Progress]]) -> None:
        self._settings = settings
        self._health = health
        self._progress = progress

    async def run(self) -> None:
        """Looks at intervals until cancelled."""
        onlooker = await started(self._onlooker, self._settings.kafka.bootstrap)
        self._health.expect(HEARTBEAT, BUDGET_S)
        before: Look | None = None
        suspects: set[Partition | str] | None = None
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                now = await self._look(onlooker)
                found = halted(before, now) if before is not None and now is not None else set()
                before, lasting = now, suspects is not None
                suspects = found if suspects is None else suspects & found
                if not suspects:
                    self._health.beat(HEARTBEAT)
                    suspects = None
                elif lasting:
                    log.error("the consumer stands still although the broker has more", halted=_names(suspects))
        finally:
            await stopped(onlooker)

    def _onlooker(self) -> Any:
        """It never subscribes, and so never joins the group."""
        settings = self._settings.kafka
        return AIOKafkaConsumer(
            **connection(settings), group_id=settings.group, enable_auto_commit=False, isolation_level="read_committed"
        )

    async def _look(self, onlooker: Any) -> Look | None:
        """``None`` where the broker, or the group's coordinator, does not answer."""
        try:
            async with asyncio.timeout(LOOK_S):
                progress = await self._progress()
                tps = [TopicPartition(*partition) for partition in progress.positions or ()]
                await onlooker.committed(TopicPartition(self._settings.topics.telemetry, 0))
                ends = await onlooker.end_offsets(tps)
        except (KafkaError, TimeoutError, OSError):
            return None
        return Look(progress, {Partition(tp.topic, tp.partition): end for tp, end in ends.items()})


def _names(halted: set[Partition | str]) -> list[str]:
    return sorted(each if isinstance(each, str) else f"{each.topic}-{each.number}" for each in halted)
