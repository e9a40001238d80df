"""Plain aiokafka: a loop over messages that calls torch for each that makes windows due.

At-least-once: offsets are committed each second, after what was produced is acknowledged. State is a dictionary, and a
restart empties it.
"""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.peers import work

COMMIT_S = 1.0


async def main(task: work.Task) -> None:
    consumer = AIOKafkaConsumer(
        task.telemetry,
        bootstrap_servers=task.bootstrap,
        group_id=task.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 2**20,
    )
    producer = AIOKafkaProducer(bootstrap_servers=task.bootstrap, acks="all", linger_ms=2)
    await consumer.start()
    await producer.start()
    rings, committed_s = work.Rings(), time.monotonic()
    async for message in consumer:
        work.started()
        due = rings.add(work.decode(message.value))
        if due is not None:
            for key, value in work.predictions([due]):
                await producer.send(task.predictions, value, key)
        if time.monotonic() - committed_s > COMMIT_S:
            await producer.flush()
            await consumer.commit()
            committed_s = time.monotonic()


if __name__ == "__main__":
    asyncio.run(main(work.Task.given()))
