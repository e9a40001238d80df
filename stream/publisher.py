"""What leaves the stream: a batch and its quantiles become prediction messages, a refused record a dead letter."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from model.block import LATE_INPUT, MASKED_INPUT, OUT_OF_DISTRIBUTION
from model.schema import Target
from stream.batch import Batch
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
        filled = slice(batch.filled)
        windows = batch.windows
        values = np.round(quantiles.astype(np.float64), 6)
        in_ah = np.round(values * windows.nominal_ah[filled, None, None], 6)
        short = windows.length[filled] < self.min_steps
        failed = ~short & ~np.isfinite(quantiles).all(axis=(1, 2))
        told = zip(
            windows.step[filled].tolist(),
            windows.cycle[filled].tolist(),
            windows.t_ms[filled].tolist(),
            self._flags(windows.flags[filled], short, failed),
            (~short & ~failed).tolist(),
            values.tolist(),
            in_ah.tolist(),
            strict=True,
        )
        predictions = []
        for segment in batch.segments:
            topic, number = segment.partition
            offsets = segment.offset[windows.frame[segment.start : segment.stop]].tolist()
            # The owners end before `told` does, and are asked first: no row is lost between two segments.
            for (pack_id, cell), offset, row in zip(segment.owners, offsets, told, strict=False):
                step, cycle, t_ms, flags, answered, natural, capacities_ah = row
                predictions.append(
                    Prediction(
                        1,
                        pack_id,
                        cell,
                        t_ms,
                        step,
                        flags,
                        model_id,
                        Origin(topic, number, offset),
                        cycle if cycle >= 0 else None,
                        *(self._answers(natural, capacities_ah) if answered else ()),
                    )
                )
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

    def _answers(
        self, natural: list[list[float]], capacities_ah: list[list[float]]
    ) -> tuple[Interval | None, Interval | None, list[Horizon] | None, RemainingLife | None]:
        """SOH, capacity, horizons and remaining life, of what the targets are in their own units and in Ah."""
        soh = capacity = rul = None
        horizons: list[Horizon] = []
        for target, (p05, p50, p95), in_ah in zip(self.targets, natural, capacities_ah, strict=True):
            if target.kind == "rul":
                rul = RemainingLife(p05, p50, p95, self.eol_soh)
            elif target.kind == "soh":
                soh, capacity = Interval(p05, p50, p95), Interval(*in_ah)
            else:
                horizons.append(Horizon(target.horizon_cycles, Interval(*in_ah)))
        return soh, capacity, horizons or None, rul

    @staticmethod
    def _flags(bits: NDArray[np.uint8], short: NDArray[np.bool_], failed: NDArray[np.bool_]) -> list[list[str]]:
        """The names of the flags of each window; windows that share them all share the list."""
        kinds, kind = np.unique(np.stack([bits, short, failed], axis=1), axis=0, return_inverse=True)
        names = [
            ["insufficient_data"] * is_short
            + [name for bit, name in FLAG_BITS if some & bit]
            + ["degraded"] * has_failed
            for some, is_short, has_failed in kinds.tolist()
        ]
        return [names[at] for at in kind.tolist()]
