"""FastStream with batches: a handler takes up to 2000 messages, so that windows go through the network together.

At-least-once by its acknowledgement after the handler. It has no state; here a dictionary, which a restart empties.
"""

from __future__ import annotations

import asyncio
from itertools import islice

from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaPublishMessage

from bench.peers import work

TOGETHER = 500


def app(task: work.Task) -> FastStream:
    """One subscriber of batches; bodies stay bytes, so that the decoder is the one that all use."""
    broker = KafkaBroker(task.bootstrap, acks="all", max_batch_size=2**20, logger=None)
    rings = work.Rings()

    @broker.subscriber(
        task.telemetry,
        batch=True,
        group_id=task.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        max_records=2000,
        batch_timeout_ms=50,
        max_partition_fetch_bytes=4 * 2**20,
        decoder=lambda message: message.body,
    )
    async def handle(bodies: list[bytes]) -> None:
        work.started()
        dues = [due for body in bodies if (due := rings.add(work.decode(body))) is not None]
        results = work.predictions(dues)
        while messages := [KafkaPublishMessage(value, key=key) for key, value in islice(results, TOGETHER)]:
            await broker.publish_batch(*messages, topic=task.predictions)

    return FastStream(broker, logger=None)


if __name__ == "__main__":
    asyncio.run(app(work.Task.given()).run())
