"""The pipeline in memory, put together as the service puts it together: everything but the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

from model.artifact import Artifact
from stream.assembly import assemble
from stream.clock import SystemClock
from stream.delivery import AtLeastOnce
from stream.memory import MemorySource
from stream.pipeline import Pipeline
from stream.runner import Model
from stream.seams import Message, Partition, Record
from stream.settings import Settings
from stream.telemetry import Telemetry

TOPIC = "bms.telemetry"


class Nowhere:
    """A sink that keeps nothing."""

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:  # noqa: ARG002 - gone
        """Acknowledged at once."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def in_memory(
    model: Model, artifact: Artifact, partitions: Sequence[Iterable[Record]], partition_cells: int = 50_000
) -> Pipeline:
    """A pipeline that will read the records of each partition, once, and keep no results."""
    settings = Settings.model_validate({"limits": {"partition_cells": partition_cells}})
    telemetry, clock = Telemetry(), SystemClock()
    source = MemorySource({Partition(TOPIC, number): records for number, records in enumerate(partitions)})
    outlet = AtLeastOnce(Nowhere(), source.commit, interval_s=0.2, telemetry=telemetry, clock=clock)
    return assemble(source, outlet, model, artifact.manifest, settings, telemetry=telemetry, clock=clock)


def records(values: Sequence[bytes], content_type: str | None = None) -> list[Record]:
    """Records as a source hands them over."""
    headers = () if content_type is None else (("content-type", content_type.encode()),)
    return [Record(offset, 0, b"P", value, headers) for offset, value in enumerate(values)]
