from __future__ import annotations

from typing import Any

from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.handover import LEAST, hand_over, murmur2
from stream.seams import Message

PARTITIONS = 5
BATCH_BYTES = 400


class Producer:
    """Takes messages as the client does; of each partition it keeps what came, in order."""

    def __init__(self) -> None:
        self.came: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = {}
        self.batches = 0

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(PARTITIONS))

    async def send(self, topic: str, value: Any, *, key: Any, partition: int | None, headers: list[Any]) -> str:
        assert isinstance(headers, list)
        at = partition if partition is not None else DefaultPartitioner()(key, list(range(PARTITIONS)), [0])
        self.came.setdefault((topic, at), []).append((key, value))
        return "sent"

    def create_batch(self) -> Any:
        return Noted()

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> str:
        assert batch.size() <= BATCH_BYTES or len(batch.messages) == 1
        self.batches += 1
        self.came.setdefault((topic, partition), []).extend(batch.messages)
        return "batched"


class Noted(BatchBuilder):  # type: ignore[misc]
    """The client's own builder, and what it took."""

    def __init__(self) -> None:
        super().__init__(BATCH_BYTES, 0)
        self.messages: list[tuple[bytes, bytes]] = []

    def append(self, *, timestamp: None, key: bytes, value: bytes) -> Any:
        taken = super().append(timestamp=timestamp, key=key, value=value)
        if taken is not None:
            self.messages.append((key, value))
        return taken


messages = st.lists(
    st.builds(
        Message,
        st.sampled_from(["predictions", "letters"]),
        st.sampled_from([b"", b"P1/1", b"P1/2", b"P2/30", b"a longer name/4"]) | st.none(),
        st.binary(max_size=2 * BATCH_BYTES),
        st.sampled_from([(), (), (), (("reason", b"x"),)]),
        st.sampled_from([None, None, 3]),
        st.sampled_from([None, None, 2, PARTITIONS + 1]),
    ),
    max_size=40,
)


@given(messages)
async def test_every_message_goes_once_to_the_partition_the_client_would_choose_and_in_order(given_: Any) -> None:
    producer = Producer()
    handed = await hand_over(producer, given_)
    assert sorted(id(message) for each in handed for message in each.messages) == sorted(map(id, given_))
    expected: dict[tuple[str, int], list[tuple[bytes | None, bytes | None]]] = {}
    for message in given_:
        if message.partition is not None:
            at = message.partition
        elif message.of is not None:
            at = message.of % PARTITIONS
        else:
            at = DefaultPartitioner()(message.key, list(range(PARTITIONS)), [0])
        expected.setdefault((message.topic, at), []).append((message.key, message.value))
    unkeyed = any(message.key is message.partition is message.of is None for message in given_)
    if unkeyed:  # the client chooses for these, and they are in no order with others
        expected = {place: sorted(came, key=repr) for place, came in expected.items()}
        producer.came = {place: sorted(came, key=repr) for place, came in producer.came.items()}
    assert producer.came == expected


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_keys_are_spread_as_the_client_spreads_them(keys: list[bytes]) -> None:
    partitions = list(range(7))
    ours = [partitions[at] for at in ((murmur2(keys) & 0x7FFFFFFF) % 7).tolist()]
    assert ours == [DefaultPartitioner()(key, partitions, partitions) for key in keys]


async def test_few_messages_share_the_clients_batch_and_many_have_their_own() -> None:
    for count, batches in ((LEAST - 1, 0), (LEAST, 1)):
        producer = Producer()
        await hand_over(producer, [Message("predictions", b"P1/1", b"x")] * count)
        assert producer.batches == batches
