from __future__ import annotations

from stream.board.hub import Hub, Subscriber


async def read(reader: Subscriber) -> list[bytes]:
    return [event async for event in reader.events()]


async def test_every_reader_gets_every_event_in_order() -> None:
    hub = Hub(b"resync", 4)
    readers = [hub.join(), hub.join()]
    for event in (b"1", b"2", b"3"):
        hub.publish(event)
    hub.close()
    for reader in readers:
        assert reader is not None
        assert await read(reader) == [b"1", b"2", b"3"]


async def test_a_slow_reader_loses_its_queue_and_is_told_so() -> None:
    hub = Hub(b"resync", 4)
    slow = hub.join()
    assert slow is not None
    for number in range(1000):
        hub.publish(str(number).encode())
    hub.close()
    events = await read(slow)
    assert events[0] == b"resync"
    assert events[-1] == b"999"
    assert len(events) <= 8


def test_readers_are_bounded_and_leave_room_when_they_go() -> None:
    hub = Hub(b"resync", 1)
    first = hub.join()
    assert first is not None
    assert hub.join() is None
    hub.leave(first)
    assert hub.join() is not None
    hub.close()
    assert Hub(b"", 0).join() is None


async def test_nobody_joins_a_closed_hub() -> None:
    hub = Hub(b"resync", 4)
    hub.close()
    assert hub.join() is None
