"""No peer but the roof: aiokafka's ``getmany``, which does nothing with what it gets."""

from __future__ import annotations

import asyncio
import os
import time

from aiokafka import AIOKafkaConsumer

from bench.peers import work

TURNS = 5


async def main(task: work.Task, records: int) -> None:
    """Reads the topic a few times; says how many records a second of CPU time the best time did."""
    consumer = AIOKafkaConsumer(
        task.telemetry,
        bootstrap_servers=task.bootstrap,
        group_id=task.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 2**20,
    )
    await consumer.start()
    best = 0.0
    for _ in range(TURNS):
        await consumer.seek_to_beginning()
        count, began_s = 0, time.process_time()
        while count < records:
            count += sum(map(len, (await consumer.getmany(timeout_ms=1000, max_records=2000)).values()))
        best = max(best, count / (time.process_time() - began_s))
    await consumer.stop()
    print(best, flush=True)


if __name__ == "__main__":
    asyncio.run(main(work.Task.given(), int(os.environ["PEER_RECORDS"])))
