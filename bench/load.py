"""The telemetry that the benchmarks send: packs of a storage site, charged and drawn, seen every ten seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer
from numpy.typing import NDArray

from tests.packing import single

START_MS = 1_700_000_000_000
BATCH_BYTES = 64 * 1024


class Sent(NamedTuple):
    """One telemetry record on its way to a partition."""

    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Load:
    """``frames`` frames of each pack, each as one record, or, ``by_cell``, as one record a cell."""

    packs: int
    cells: int
    frames: int
    partitions: int
    frames_a_cycle: int = 4320  # twelve hours
    period_ms: int = 10_000
    by_cell: bool = False
    packed: bool = False  # msgpack, readings in four bytes, instead of JSON

    @property
    def records(self) -> int:
        """Records in all."""
        return self.packs * self.frames * (self.cells if self.by_cell else 1)

    @property
    def cell_samples(self) -> int:
        """Samples of single cells in all."""
        return self.packs * self.frames * self.cells

    @property
    def cycles_ended(self) -> int:
        """Cycles of single cells that end: what a model of cycle steps owes a prediction for."""
        ends = sum(
            self._at(pack, self.frames - 1) // self.frames_a_cycle - self._at(pack, 0) // self.frames_a_cycle
            for pack in range(self.packs)
        )
        return ends * self.cells

    def _at(self, pack: int, frame: int) -> int:
        """Where a pack stands in its duty: no two at the same place."""
        return frame + pack * self.frames_a_cycle // self.packs

    def voltages(self, frame: int) -> NDArray[np.float64]:
        """Of all cells in a frame, float64 [packs, cells], V."""
        noise = np.random.default_rng(frame).normal(0, 0.003, (self.packs, self.cells))
        at = np.array([self._at(pack, frame) for pack in range(self.packs)])
        return (3.6 + 0.4 * np.sin(2 * np.pi * at / self.frames_a_cycle)[:, None] + noise).round(3)

    def sent(self) -> Iterator[Sent]:
        """Every record, in the order of time."""
        encode = single if self.packed else msgspec.json.Encoder().encode
        for frame in range(self.frames):
            voltages = self.voltages(frame).tolist()
            for pack in range(self.packs):
                cycle, at = divmod(self._at(pack, frame), self.frames_a_cycle)
                current_a = round(float(20 * np.cos(2 * np.pi * at / self.frames_a_cycle)), 2)
                common = {
                    "v": 1,
                    "kind": "cell" if self.by_cell else "pack",
                    "pack_id": f"P{pack}",
                    "t_ms": START_MS + frame * self.period_ms,
                    "current_a": current_a,
                    "cycle": cycle,
                    "nominal_capacity_ah": 50.0,
                }
                partition, key = pack % self.partitions, f"P{pack}".encode()
                if self.by_cell:
                    for cell, voltage_v in enumerate(voltages[pack]):
                        record = common | {"cell": cell, "voltage_v": voltage_v, "temp_degc": 25.1}
                        yield Sent(partition, key, encode(record))
                else:
                    record = common | {"voltage_v": voltages[pack], "temp_degc": [25.1, 25.4, 25.2, 24.9]}
                    yield Sent(partition, key, encode(record))


async def fill(bootstrap: str, topic: str, load: Load) -> None:
    """Writes a load to its topic, in batches such as a gateway makes that waits a little for more."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES, max_request_size=2**20)
    await producer.start()
    open_batches = [producer.create_batch() for _ in range(load.partitions)]
    try:
        for partition, key, value in load.sent():
            if open_batches[partition].append(key=key, value=value, timestamp=None) is None:
                await producer.send_batch(open_batches[partition], topic, partition=partition)
                open_batches[partition] = producer.create_batch()
                open_batches[partition].append(key=key, value=value, timestamp=None)
        for partition, batch in enumerate(open_batches):
            await producer.send_batch(batch, topic, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()
