"""Bytewax: a stateful step for each pack that takes batches, and one that predicts whole batches of windows.

At-least-once into Kafka. State survives: snapshots of the packs seen in each epoch (ten seconds) in SQLite; the number
of recovery partitions is fixed when they are made.
"""

from __future__ import annotations

from pathlib import Path

import bytewax.operators as op
from bytewax._bytewax import cli_main, init_db_dir
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig

from bench.peers import work
from stream.records import Telemetry


class Windows(StatefulBatchLogic[Telemetry, work.Due, work.Rings]):
    """The rings of one pack."""

    def __init__(self, rings: work.Rings | None) -> None:
        self.rings = rings or work.Rings()

    def on_batch(self, values: list[Telemetry]) -> tuple[list[work.Due], bool]:
        """What the frames make due; the logic is kept."""
        return [due for frame in values if (due := self.rings.add(frame)) is not None], False

    def snapshot(self) -> work.Rings:
        """What is stored at the end of an epoch."""
        return self.rings


def keyed(message: object) -> tuple[str, Telemetry]:
    """Pack and frame."""
    work.started()
    frame = work.decode(message.value)  # type: ignore[attr-defined]
    return frame.pack_id, frame


def predicted(dues: list[tuple[str, work.Due]]) -> list[KafkaSinkMessage[bytes, bytes]]:
    """All that is due together."""
    return [KafkaSinkMessage(key, value) for key, value in work.predictions([due for _, due in dues])]


def flow(task: work.Task) -> Dataflow:
    """Telemetry, windows, predictions."""
    dataflow = Dataflow("peer")
    source = KafkaSource([task.bootstrap], [task.telemetry], batch_size=2000, add_config={"group.id": task.group})
    frames = op.map("decode", op.input("telemetry", dataflow, source), keyed)
    dues = op.stateful_batch("windows", frames, Windows)
    op.output(
        "predictions", op.flat_map_batch("predict", dues, predicted), KafkaSink([task.bootstrap], task.predictions)
    )
    return dataflow


if __name__ == "__main__":
    given = work.Task.given()
    init_db_dir(Path(given.folder), 1)
    cli_main(flow(given), recovery_config=RecoveryConfig(given.folder))
