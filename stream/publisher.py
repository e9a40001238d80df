"""What leaves the stream: predictions, what follows from them of packs, and dead letters, each as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.block import LATE_INPUT, MASKED_INPUT, OUT_OF_DISTRIBUTION
from model.schema import Target
from stream.answers import ANSWER, Answers
from stream.batch import Batch
from stream.codec import Codec
from stream.json_rows import DECIMALS, NAME, Forms, mark, millionths, rows
from stream.outlook import Seen
from stream.records import Horizon, Interval, Origin, Prediction, RemainingLife
from stream.refusal import Refusal
from stream.seams import Message, Partition, Received
from stream.settings import TopicSettings
from stream.warranty import crossing_probability

CELL, T_MS, STEP, OFFSET, CYCLE = range(NAME + 1, DECIMALS)  # whole numbers of a row
_COLUMNS = {"cell": CELL, "t_ms": T_MS, "step": STEP, "offset": OFFSET, "cycle": CYCLE}
# What else than the flags of a window makes its prediction of one kind or another.
_SHORT, _FAILED, _NUMBERED, _WARRANTED, _KINDS = 8, 16, 32, 64, 128
FLAG_BITS = (
    (LATE_INPUT, "late_input"),
    (MASKED_INPUT, "masked_input"),
    (OUT_OF_DISTRIBUTION, "out_of_distribution"),
)


class Publisher:
    """Turns results into messages for their topics. ``warranty_cycles``: for how many a cell should last, if said."""

    def __init__(
        self,
        codec: Codec,
        topics: TopicSettings,
        *,
        targets: tuple[Target, ...],
        eol_soh: float,
        min_steps: int,
        warranty_cycles: int | None,
    ) -> None:
        self.codec = codec
        self.topics = topics
        self.targets = targets
        self.eol_soh = eol_soh
        self.min_steps = min_steps
        self.warranty_cycles = warranty_cycles
        self._at = {target.kind: index for index, target in enumerate(targets) if target.kind in ("soh", "rul")}
        self._forms = Forms()
        self._known: dict[tuple[Partition, str, int], int] = {}

    def predictions(self, batch: Batch, quantiles: NDArray[np.float32], model_id: str) -> Answers:
        """One a window of the batch, in order. quantiles: float32 [filled, targets, 3], natural units.

        They go to the partition that their telemetry is of: a transaction writes to one, and each is written by one.
        """
        count, windows, segments = batch.filled, batch.windows, batch.segments
        natural = millionths(quantiles.astype(np.float64))
        in_ah = millionths(natural / 1e6 * windows.nominal_ah[:count, None, None])
        short = windows.length[:count] < self.min_steps
        failed = ~short & ~np.isfinite(quantiles).all(axis=(1, 2))
        p_warranty = self._p_warranty(quantiles, windows.cycle[:count])
        p_warranty[short | failed] = np.nan
        warranted = np.isfinite(p_warranty)
        decimals = np.c_[np.concatenate((natural, in_ah), axis=2).reshape(count, -1), millionths(p_warranty)]
        decimals[short | failed] = 0.0
        decimals[~warranted, -1] = 0.0

        owners = [owner for segment in segments for owner in segment.owners]
        names: dict[str, int] = {}
        whole = np.empty((count, DECIMALS), np.int64)
        whole[:, NAME] = [names.setdefault(pack_id, len(names)) for pack_id, _ in owners]
        whole[:, CELL] = [cell for _, cell in owners]
        whole[:, T_MS] = windows.t_ms[:count]
        whole[:, STEP] = windows.step[:count]
        whole[:, OFFSET] = np.concatenate([each.offset[windows.frame[each.start : each.stop]] for each in segments])
        whole[:, CYCLE] = windows.cycle[:count]

        kind = windows.flags[:count] | _SHORT * short | _FAILED * failed | _NUMBERED * (whole[:, CYCLE] >= 0)
        kind |= _WARRANTED * warranted
        place = np.repeat(np.arange(len(segments)), [len(each.owners) for each in segments])
        place = place * _KINDS + kind
        form = np.zeros(len(segments) * _KINDS, np.int64)
        form[place] = 1
        found = np.flatnonzero(form)
        form[found] = [self._form(segments[at // _KINDS].partition, model_id, at % _KINDS) for at in found.tolist()]
        written = rows(self._forms, form[place], list(names), whole, decimals)
        numbers = [segment.partition.number for segment in segments for _ in segment.owners]
        messages = [
            Message(self.topics.predictions, key, value, (), None, number)
            for (key, value), number in zip(written, numbers, strict=True)
        ]
        answers = np.empty(count, ANSWER)
        for name, column in _COLUMNS.items():
            answers[name] = whole[:, column]
        for name, target in (("soh", "soh"), ("rul_cycles", "rul")):
            answers[name] = quantiles[:, self._at[target]] if target in self._at else np.nan
            answers[name][short | failed] = np.nan
        answers["p_warranty"], answers["flags"] = p_warranty, windows.flags[:count]
        return Answers(messages, model_id, [pack_id for pack_id, _ in owners], answers)

    def seen(self, partition: Partition, seen: Seen, gone: Iterable[str]) -> list[Message]:
        """Alerts, roll-ups, and the end of those of packs that are gone."""
        alerts, packs, encode = self.topics.alerts, self.topics.packs, self.codec.encode
        of = partition.number
        return [
            *(Message(alerts, each.pack_id.encode(), encode(each), of=of) for each in seen.alerts),
            *(Message(packs, each.pack_id.encode(), encode(each), of=of) for each in seen.rollups),
            *(Message(packs, pack_id.encode(), None, of=of) for pack_id in gone),
        ]

    def settled(self, told: Sequence[Message], settle: Callable[[list[Prediction]], list[Prediction]]) -> list[Message]:
        """Predictions as they are after ``settle``, one for each."""
        read = [self.codec.prediction(message.value) for message in told]
        return [
            message if after is before else message._replace(value=self.codec.encode(after))
            for message, before, after in zip(told, read, settle(read), strict=True)
        ]

    def dead_letters(self, partition: Partition, records: Iterable[tuple[Received, Refusal]]) -> list[Message]:
        """One message a refused record: its bytes untouched, and why, in the headers."""
        return [
            Message(
                self.topics.dead_letters,
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

    def _p_warranty(self, quantiles: NDArray[np.float32], cycle: NDArray[np.int32]) -> NDArray[np.float64]:
        """Float64 [n], NaN where a cell has no cycle number, or nothing is asked."""
        if self.warranty_cycles is None or "rul" not in self._at:
            return np.full(len(cycle), np.nan)
        left = np.where(cycle >= 0, self.warranty_cycles - cycle.astype(np.int64), -1)
        return crossing_probability(quantiles[:, self._at["rul"]], left)

    def _form(self, partition: Partition, model_id: str, kind: int) -> int:
        """The form of predictions that are alike in this."""
        known = self._known.get((partition, model_id, kind))
        if known is None:
            answered = not kind & (_SHORT | _FAILED)
            flags = ["insufficient_data"] * bool(kind & _SHORT)
            flags += [name for bit, name in FLAG_BITS if kind & bit]
            flags += ["degraded"] * bool(kind & _FAILED)
            cell, t_ms, step, cycle = mark(CELL), mark(T_MS), mark(STEP), mark(CYCLE) if kind & _NUMBERED else None
            origin = Origin(partition.topic, partition.number, mark(OFFSET))
            answers = self._answers(warranted=bool(kind & _WARRANTED)) if answered else ()
            like = Prediction(1, mark(NAME), cell, t_ms, step, flags, model_id, origin, cycle, *answers)
            known = self._known[partition, model_id, kind] = self._forms.add(self.codec.encode(like))
        return known

    def _answers(
        self, *, warranted: bool
    ) -> tuple[Interval | None, Interval | None, list[Horizon] | None, RemainingLife | None, float | None]:
        """SOH, capacity, horizons, remaining life and its part of the warranty, as marks: of each target three
        quantiles in its own unit, then three in Ah.
        """
        soh = capacity = rul = None
        horizons: list[Horizon] = []
        for number, target in enumerate(self.targets):
            at = DECIMALS + 6 * number
            in_ah = Interval(mark(at + 3), mark(at + 4), mark(at + 5))
            if target.kind == "rul":
                rul = RemainingLife(mark(at), mark(at + 1), mark(at + 2), self.eol_soh)
            elif target.kind == "soh":
                soh, capacity = Interval(mark(at), mark(at + 1), mark(at + 2)), in_ah
            else:
                horizons.append(Horizon(target.horizon_cycles, in_ah))
        return soh, capacity, horizons or None, rul, mark(DECIMALS + 6 * len(self.targets)) if warranted else None
