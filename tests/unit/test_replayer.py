"""Sending at pace: counts are exact, what is on its way is bounded, an interruption can be continued."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from replay.feeder import Feed
from replay.fleet import members
from replay.journal import Journal, Position
from replay.pace import MAX
from replay.replayer import Counts, Replayer
from stream.memory import MemorySink
from stream.records import Telemetry
from stream.seams import Message
from tests.fading import fading_cell
from tests.hands import Hands


class VirtualClock(Hands):
    """Time that passes only by sleeping, and then a little more than asked."""

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds + 0.0005


class StampingSink(MemorySink):
    """Remembers when each message came."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock = clock
        self.at_s: list[float] = []

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        self.at_s += [self.clock.now_s] * len(messages)
        return await super().send(messages)


class SlowSink:
    """Acknowledges only when told to."""

    def __init__(self) -> None:
        self.sent = 0
        self.open: list[tuple[int, asyncio.Future[None]]] = []
        self.most_open = 0

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        self.sent += len(messages)
        acknowledged = asyncio.get_running_loop().create_future()
        self.open.append((len(messages), acknowledged))
        self.most_open = max(self.most_open, sum(count for count, _ in self.open))
        return acknowledged

    def acknowledge(self) -> None:
        _, acknowledged = self.open.pop(0)
        acknowledged.set_result(None)


class FailingSink(MemorySink):
    """Takes ``batches`` batches, then breaks."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        self.batches -= 1
        if self.batches < 0:
            raise ConnectionError("gone")
        return await super().send(messages)


def feed(**options: int) -> Feed:
    return Feed(members([fading_cell("a", cycles=3), fading_cell("b", cycles=4, cells=3)], 3), **options)


async def test_counts_are_exact_at_max_speed() -> None:
    sink, clock = MemorySink(), VirtualClock()
    counts = await Replayer(feed(), sink, topic="t", speed=MAX, clock=clock, sleep=clock.sleep).run()
    sent = [msgspec.json.decode(message.value or b"", type=Telemetry) for message in sink.messages["t"]]
    assert counts.records == len(sent) == feed().records
    assert counts.packs == len({told.pack_id for told in sent}) == 3
    assert counts.cell_samples == sum(1 if isinstance(t.voltage_v, float) else len(t.voltage_v) for t in sent)
    assert (counts.first_ms, counts.last_ms) == (min(t.t_ms for t in sent), max(t.t_ms for t in sent))
    assert [message.key for message in sink.messages["t"]] == [told.pack_id.encode() for told in sent]


async def test_no_record_is_sent_early_and_lateness_does_not_add_up() -> None:
    clock = VirtualClock()
    sink = StampingSink(clock)
    speed = 600.0
    counts = await Replayer(feed(), sink, topic="t", speed=speed, clock=clock, sleep=clock.sleep).run()
    due_ms = np.concatenate([batch.due_ms for batch in feed()])
    due_s = 100.0 + (due_ms - due_ms[0]) / 1000 / speed
    late_s = np.array(sink.at_s) - due_s
    assert late_s.min() >= -1e-9
    assert late_s.max() <= 0.002
    assert counts.seconds == pytest.approx((due_ms[-1] - due_ms[0]) / 1000 / speed, abs=0.002)


async def test_records_on_their_way_are_bounded() -> None:
    sink, clock = SlowSink(), VirtualClock()
    replayer = Replayer(feed(batch_records=50), sink, topic="t", speed=MAX, clock=clock, in_flight=120)
    running = asyncio.create_task(replayer.run())
    while not running.done():
        before = sink.sent
        for _ in range(20):
            await asyncio.sleep(0)
        if sink.sent == before and sink.open:
            sink.acknowledge()
    assert sink.most_open <= 120 + 50
    assert running.result().records == feed().records


async def test_an_interrupted_replay_continues_where_it_stopped(tmp_path: Path) -> None:
    journal, clock = Journal(tmp_path / "deep" / "journal.json"), VirtualClock()
    whole = feed(batch_records=40, shift_ms=7)
    first = FailingSink(batches=3)
    heard: list[Counts] = []
    replayer = Replayer(whole, first, topic="t", speed=MAX, clock=clock, journal=journal, progress=heard.append)
    with pytest.raises(ConnectionError):
        await replayer.run()
    sent = len(first.messages["t"])
    assert heard[-1].records == sent > 0

    position = journal.load(whole.fingerprint)
    assert position == Position(whole.fingerprint, 7, sent)
    rest = feed(batch_records=40, shift_ms=position.shift_ms, skip=position.acknowledged)
    second = MemorySink()
    counts = await Replayer(rest, second, topic="t", speed=MAX, clock=clock, journal=journal).run()

    everything = [value for batch in whole for value in batch.values]
    assert [message.value for message in first.messages["t"] + second.messages["t"]] == everything
    assert counts.records == len(everything) - sent
    assert journal.load(whole.fingerprint) == Position(whole.fingerprint, 7, len(everything))


def test_the_journal_of_another_feed_is_not_followed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    assert journal.load("abc") is None
    journal.save(Position("abc", 0, 5))
    assert journal.load("abc") == Position("abc", 0, 5)
    assert journal.load("other") is None
    journal.path.write_text("{broken")
    assert journal.load("abc") is None


async def test_a_cancelled_replay_leaves_nothing_running() -> None:
    sink, clock = SlowSink(), VirtualClock()
    running = asyncio.create_task(Replayer(feed(), sink, topic="t", speed=MAX, clock=clock, in_flight=1).run())
    while not sink.open:  # noqa: ASYNC110 - nothing but turns of the loop is waited for
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert all(acknowledged.cancelled() for _, acknowledged in sink.open)
