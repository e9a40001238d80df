"""Who sends telemetry at a rate, as a gateway does that waits a little for more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.load import Sent

TICK_S = 0.005


class Gateway:
    """Sends records at a rate, in a batch a partition and tick, and remembers when each was sent."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int, records: Sequence[Sent]) -> None:
        self._producer = producer
        self._records = records
        self.topic = topic
        self.sent_s: list[list[float]] = [[] for _ in range(partitions)]

    async def send(self, per_s: float) -> None:
        """Sends them all."""
        records, began_s, count = self._records, time.perf_counter(), 0
        while count < len(records):
            due = min(int((time.perf_counter() - began_s) * per_s), len(records))
            if due > count:
                await self._batches(records[count:due])
                count = due
            await asyncio.sleep(TICK_S)
        await self._producer.flush()

    async def _batches(self, records: Sequence[Sent]) -> None:
        batches: dict[int, BatchBuilder] = {}
        for partition, key, value in records:
            batch = batches.get(partition)
            if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                if batch is not None:
                    await self._producer.send_batch(batch, self.topic, partition=partition)
                batch = batches[partition] = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
            self.sent_s[partition].append(time.perf_counter())
        for partition, batch in batches.items():
            await self._producer.send_batch(batch, self.topic, partition=partition)
