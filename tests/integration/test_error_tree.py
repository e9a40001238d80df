"""Every failure has a reaction of its own: try again, give the partition up, or end and say why. None is for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from stream.clock import SystemClock
from stream.errors import Fatal
from stream.health import Health
from stream.kafka import source as kafka_source
from stream.kafka import transactions
from stream.kafka.source import KafkaSource
from stream.kafka.topics import DEFAULT_BYTES, LARGEST, ensure, ensure_state, largest_message, wanted
from stream.kafka.transactions import ExactlyOnce
from stream.offsets import Ticket
from stream.seams import Message, Partition
from stream.settings import Settings
from stream.telemetry import Telemetry
from tests.holder import NoState
from tests.service import consumed, produce, settings
from tests.telemetry import records

TELEMETRY = records(["P1", "P2", "P3", "P4"], 20, 2)


def ticket(topic: str, value: bytes, next_offset: int) -> Ticket:
    """Worked off: one result."""
    done = Ticket(next_offset)
    done.done([Message(topic, b"P/1", value)])
    return done


@asynccontextmanager
async def running(outlet: ExactlyOnce) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(outlet.run())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def given(kafka: Any, topic: str) -> Settings:
    chosen = settings(kafka.bootstrap, topic, Path("unused"))
    await ensure(chosen, wanted(chosen))
    await ensure_state(chosen)  # each transaction writes what it published there
    return chosen


async def test_fenced_partition_that_nobody_takes_from_it_ends_the_process_and_publishes_nothing(given, monkeypatch):
    monkeypatch.setattr(transactions, "FENCED_S", 0.3)
    topic, partition = given.topics.predictions, Partition(given.topics.telemetry, 0)
    counted = Telemetry()
    ours, theirs = (
        ExactlyOnce(given, telemetry, SystemClock(), letter_bytes=DEFAULT_BYTES) for telemetry in (counted, Telemetry())
    )
    async with running(ours) as ended, running(theirs):
        await ours.open(partition)
        await ours.publish(partition, [ticket(topic, b"ours", 1)])
        await ours.flush()
        await theirs.open(partition)  # another deployment with the same `app`
        await theirs.publish(partition, [ticket(topic, b"theirs", 2)])
        await theirs.flush()
        await ours.publish(partition, [ticket(topic, b"too late", 2)])
        await ours.flush()  # does not wait for what can never be
        with pytest.raises(Fatal, match="was taken over, but not by a member of group"):
            await asyncio.wait_for(ended, 60)
    assert [record.value for record in await consumed(given, topic)] == [b"ours", b"theirs"]
    assert counted.registry.get_sample_value("cyclecast_transactions_total", {"result": "fenced"}) == 1


async def test_transaction_that_cannot_be_ends_the_process_and_is_never_committed(given, monkeypatch):
    monkeypatch.setattr(transactions, "TRANSACTION_S", 1.0)
    partition = Partition(given.topics.telemetry, 0)
    outlet = ExactlyOnce(given, Telemetry(), SystemClock(), letter_bytes=DEFAULT_BYTES)
    done = ticket(given.topics.predictions, b"never", 7)
    done.messages.append(Message("no.such.topic", None, b""))
    async with running(outlet) as ended:
        await outlet.open(partition)
        await outlet.publish(partition, [done])
        with pytest.raises(Fatal, match=r"no transaction of .* was possible within 1 s"):
            await asyncio.wait_for(ended, 60)
    assert await consumed(given, given.topics.predictions) == []


async def test_dead_letter_keeps_its_bytes_up_to_what_its_topic_takes(given, kafka, make_topic):
    narrow = await make_topic(kafka.bootstrap, 1, **{LARGEST: "100000"})
    given = given.model_copy(update={"topics": given.topics.model_copy(update={"dead_letters": narrow})})
    taken = await largest_message(given, narrow)
    assert taken == 100_000
    key, headers = b"P1", (("reason", b"too_large"),)
    most = taken - len(key) - len("reason") - len(b"too_large") - transactions.OVERHEAD_BYTES
    done = Ticket(2)
    done.done([Message(narrow, key, bytes(most), headers), Message(narrow, key, bytes(most + 1), headers)])
    outlet = ExactlyOnce(given, Telemetry(), SystemClock(), letter_bytes=taken)
    async with running(outlet):
        await outlet.open(Partition(given.topics.telemetry, 0))
        await outlet.publish(Partition(given.topics.telemetry, 0), [done])
        await outlet.flush()
    whole, omitted = await consumed(given, narrow)
    assert (len(whole.value), whole.headers) == (most, headers)
    assert (omitted.value, dict(omitted.headers)["omitted_bytes"]) == (None, str(most + 1).encode())


async def test_producer_that_does_not_start_ends_the_process(topic, monkeypatch):
    monkeypatch.setattr(transactions, "OPEN_S", 0.5)

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        mute = settings(f"127.0.0.1:{port}", topic, Path("unused"))
        with pytest.raises(Fatal, match=r"no producer for .* could be started"):
            await ExactlyOnce(mute, Telemetry(), SystemClock(), letter_bytes=DEFAULT_BYTES).open(Partition("t", 0))


class Fails(NoState):
    async def release(self, _: Collection[Partition]) -> None:
        raise ValueError("while the partitions were released")


class ReleasesAtLast(NoState):
    def __init__(self) -> None:
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    async def release(self, _: Collection[Partition]) -> None:
        self.asked.set()
        await self.let_go.wait()


class FailsToHold(KafkaSource):
    def _hold(self, _: object) -> None:
        raise ValueError("while the partitions were assigned")


@asynccontextmanager
async def polling(
    given: Settings, holder: NoState, kind: type[KafkaSource] = KafkaSource
) -> AsyncIterator[tuple[KafkaSource, asyncio.Task[None]]]:
    """A source that reads for nothing."""
    health = Health(SystemClock())
    health.expect("loop", 60)
    source = await kind.start(given, Telemetry(), health, SystemClock())

    async def follow() -> None:
        async for _ in source.poll(holder):
            pass

    task = asyncio.create_task(follow())
    try:
        yield source, task
    finally:
        task.cancel()
        await asyncio.wait([task])
        await source.stop()


async def until_open(source: KafkaSource, partitions: int) -> None:
    async with asyncio.timeout(30):
        while len((await source.progress()).positions or ()) != partitions:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_failure_while_partitions_are_released_is_raised_and_not_swallowed(given):
    async with polling(given, Fails()) as (source, task):
        await until_open(source, 4)
        async with polling(given, NoState()):
            with pytest.raises(ValueError, match="while the partitions were released"):
                await asyncio.wait_for(task, 30)


async def test_failure_while_partitions_are_assigned_is_raised_and_not_swallowed(given):
    async with polling(given, NoState(), FailsToHold) as (_, task):
        with pytest.raises(ValueError, match="while the partitions were assigned"):
            await asyncio.wait_for(task, 30)


async def test_member_that_is_to_end_does_not_wait_for_the_group_to_agree(given, monkeypatch):
    monkeypatch.setattr(kafka_source, "RELEASE_S", 120.0)
    patient = given.model_copy(update={"kafka": given.kafka.model_copy(update={"session_timeout_ms": 60_000})})
    holder = ReleasesAtLast()
    async with polling(patient, holder) as (first, _):
        await until_open(first, 4)
        async with polling(patient, NoState()) as (second, task):
            await asyncio.wait_for(holder.asked.wait(), 60)
            second.end()
            await asyncio.wait_for(task, 30)
            holder.let_go.set()  # only now, so that the client can be closed


async def test_commit_of_a_lost_session_is_refused_and_the_member_joins_again(given):
    await produce(given, TELEMETRY)
    async with polling(given, NoState()) as (source, task):
        await until_open(source, 4)
        group = source._consumer._coordinator
        lost = group.generation
        group.generation = lost + 7  # what the broker says to a member that it has thrown out
        with structlog.testing.capture_logs() as logs:
            await source.commit({Partition(given.topics.telemetry, 0): 1})
        assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
            "commit refused: the group is rebalancing"
        ]
        async with asyncio.timeout(30):
            while group.generation <= lost or group.generation == lost + 7:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await until_open(source, 4)
        await source.commit({Partition(given.topics.telemetry, 0): 1})
        assert not task.done()
