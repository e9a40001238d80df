"""Quix Streams: a stateful function for each message; its RocksDB store has the open minute, and a key for each step.

At-least-once as configured here, its default; exactly-once by a setting. State survives: a changelog topic for each
store. A window is read back when it is due, so that a message writes one minute and not the window.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from quixstreams import Application, State

from bench.peers import work
from bench.peers.packing import packed, unpacked


def due_of(value: bytes, state: State) -> list[dict[str, Any]]:
    """Folds one record into its pack's state; what it makes due."""
    work.started()
    frame = work.decode(value)
    cell = getattr(frame, "cell", "")
    kept = state.get_bytes(f"{cell}:open")
    if kept is None:
        state.set_bytes(f"{cell}:open", packed(work.Minute.of(frame)))
        return []
    minute = unpacked(kept)
    if not minute.over(frame):
        state.set_bytes(f"{cell}:open", packed(minute.add(frame)))
        return []
    state.set_bytes(f"{cell}:{minute.steps % work.STEPS}", minute.mean().tobytes())
    count = minute.steps + 1
    state.set_bytes(f"{cell}:open", packed(work.Minute.of(frame, count)))
    if count % work.STRIDE:
        return []
    steps = None
    if count >= work.STEPS:
        stored = (state.get_bytes(f"{cell}:{at % work.STEPS}") for at in range(count - work.STEPS, count))
        steps = np.frombuffer(b"".join(stored), np.float32).reshape(work.STEPS, -1, work.CHANNELS)
    due = work.due_windows(frame, count, steps)
    return [msgspec.json.decode(value) for _, value in work.predictions([due])]


def app(task: work.Task) -> Application:
    """Telemetry, the function, predictions."""
    application = Application(
        broker_address=task.bootstrap,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        state_dir=task.folder,
        loglevel="ERROR",
    )
    telemetry = application.topic(task.telemetry, key_deserializer="bytes", value_deserializer="bytes")
    predictions = application.topic(task.predictions, key_serializer="bytes", value_serializer="json")
    frame = application.dataframe(telemetry).apply(due_of, stateful=True, expand=True)
    frame.to_topic(predictions, key=lambda value: f"{value['pack_id']}/{value['cell']}".encode())
    return application


if __name__ == "__main__":
    app(work.Task.given()).run()
