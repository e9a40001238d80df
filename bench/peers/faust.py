"""Faust (faust-streaming): an agent over messages; a table with a changelog has the open minute, and each step.

At-least-once as configured here, its default; its exactly-once is reported broken. State survives by the changelog. A
table finds its partition by the message at hand, so messages cannot be taken in batches.
"""

from __future__ import annotations

import sys

import faust
import numpy as np

from bench.peers import work
from bench.peers.packing import packed, unpacked


def app(task: work.Task) -> faust.App:
    """One agent, one table."""
    application = faust.App(
        task.group,
        broker=f"kafka://{task.bootstrap}",
        store="memory://",
        datadir=task.folder,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_replication_factor=1,
        topic_partitions=4,
        web_enabled=False,
    )
    telemetry = application.topic(task.telemetry, value_type=bytes)
    predictions = application.topic(task.predictions, value_type=bytes)
    stored = application.Table("steps", key_type=bytes, value_type=bytes)

    @application.agent(telemetry)
    async def handle(stream: faust.Stream[bytes]) -> None:
        async for value in stream:
            work.started()
            frame = work.decode(value)
            key = f"{frame.pack_id}/{getattr(frame, 'cell', '')}:".encode()
            kept = stored.get(key)
            if kept is None:
                stored[key] = packed(work.Minute.of(frame))
                continue
            minute = unpacked(kept)
            if not minute.over(frame):
                stored[key] = packed(minute.add(frame))
                continue
            stored[b"%s%d" % (key, minute.steps % work.STEPS)] = minute.mean().tobytes()
            count = minute.steps + 1
            stored[key] = packed(work.Minute.of(frame, count))
            if count % work.STRIDE:
                continue
            steps = None
            if count >= work.STEPS:
                newest = (stored[b"%s%d" % (key, at % work.STEPS)] for at in range(count - work.STEPS, count))
                steps = np.frombuffer(b"".join(newest), np.float32).reshape(work.STEPS, -1, work.CHANNELS)
            for cell, result in work.predictions([work.due_windows(frame, count, steps)]):
                await predictions.send(key=cell, value=result)

    return application


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel", "error", "--without-web"]
    app(work.Task.given()).main()
