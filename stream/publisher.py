"""What leaves the stream: a batch and its quantiles become prediction messages, a refused record a dead letter."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from model.block import LATE_INPUT, MASKED_INPUT, OUT_OF_DISTRIBUTION
from model.schema import Target
from stream.batch import Batch, Segment
from stream.codec import Codec
from stream.records import Horizon, Interval, Origin, Prediction, RemainingLife
from stream.refusal import Refusal
from stream.seams import Message, Partition, Received

FLAG_BITS = (
    (LATE_INPUT, "late_input"),
    (MASKED_INPUT, "masked_input"),
    (OUT_OF_DISTRIBUTION, "out_of_distribution"),
)


class Publisher:
    """Turns results into messages for their topics."""

    def __init__(
        self,
        codec: Codec,
        *,
        predictions_topic: str,
        dead_letters_topic: str,
        targets: tuple[Target, ...],
        eol_soh: float,
        min_steps: int,
    ) -> None:
        self.codec = codec
        self.predictions_topic = predictions_topic
        self.dead_letters_topic = dead_letters_topic
        self.targets = targets
        self.eol_soh = eol_soh
        self.min_steps = min_steps

    def predictions(self, batch: Batch, quantiles: NDArray[np.float32], model_id: str) -> list[Prediction]:
        """One a window of the batch, in order. quantiles: float32 [filled, targets, 3], natural units."""
        windows = batch.windows
        finite = np.logical_and.reduce(np.isfinite(quantiles), axis=(1, 2)).tolist()
        values = np.round(quantiles.astype(np.float64), 6).tolist()
        predictions = []
        for segment in batch.segments:
            for row in range(segment.start, segment.stop):
                flags = [name for bit, name in FLAG_BITS if windows.flags[row] & bit]
                answer: list[list[float]] | None = values[row]
                if windows.length[row] < self.min_steps:
                    flags.insert(0, "insufficient_data")
                    answer = None
                elif not finite[row]:
                    flags.append("degraded")
                    answer = None
                predictions.append(self._prediction(batch, segment, row, flags, answer, model_id))
        return predictions

    def messages(self, predictions: Iterable[Prediction]) -> list[Message]:
        """One message a prediction."""
        topic, encode = self.predictions_topic, self.codec.encode
        return [Message(topic, f"{each.pack_id}/{each.cell}".encode(), encode(each)) for each in predictions]

    def dead_letters(self, partition: Partition, records: Iterable[tuple[Received, Refusal]]) -> list[Message]:
        """One message a refused record: its bytes untouched, and why, in the headers."""
        return [
            Message(
                self.dead_letters_topic,
                record.key,
                record.value,
                (
                    *((name, value) for name, value in record.headers if name in ("content-type", "redriven")),
                    ("topic", partition.topic.encode()),
                    ("partition", str(partition.number).encode()),
                    ("offset", str(record.offset).encode()),
                    ("timestamp_ms", str(record.timestamp).encode()),
                    ("stage", refusal.stage.encode()),
                    ("error", refusal.error.encode()),
                    ("reason", refusal.reason.value.encode()),
                ),
            )
            for record, refusal in records
        ]

    def _prediction(
        self,
        batch: Batch,
        segment: Segment,
        row: int,
        flags: list[str],
        answer: list[list[float]] | None,
        model_id: str,
    ) -> Prediction:
        windows = batch.windows
        pack_id, cell = segment.owners[row - segment.start]
        cycle = int(windows.cycle[row])
        soh = capacity = rul = None
        horizons: list[Horizon] = []
        nominal_ah = float(windows.nominal_ah[row])
        for target, (p05, p50, p95) in zip(self.targets, answer or (), strict=False):
            if target.kind == "rul":
                rul = RemainingLife(p05, p50, p95, self.eol_soh)
                continue
            in_ah = Interval(*(round(value * nominal_ah, 6) for value in (p05, p50, p95)))
            if target.kind == "soh":
                soh, capacity = Interval(p05, p50, p95), in_ah
            else:
                horizons.append(Horizon(target.horizon_cycles, in_ah))
        return Prediction(
            v=1,
            pack_id=pack_id,
            cell=cell,
            t_ms=int(windows.t_ms[row]),
            step=int(windows.step[row]),
            cycle=cycle if cycle >= 0 else None,
            soh=soh,
            capacity_ah=capacity,
            horizons=horizons or None,
            rul_cycles=rul,
            flags=flags,
            model=model_id,
            source=Origin(*segment.partition, int(segment.offset[windows.frame[row]])),
        )
