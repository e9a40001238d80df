"""The pipeline of the stream over recordings in memory: what one process of a backtest does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import pyarrow as pa

from model.artifact import load
from model.predictor import Predictor
from model.recording import Recording
from replay.event_loop import run_to_end
from replay.feeder import Feed
from replay.fleet import Member
from replay.prediction_table import prediction_table
from stream.assembly import assemble, warm_kernels
from stream.clock import SystemClock
from stream.delivery import AtLeastOnce
from stream.memory import MemorySink, MemorySource
from stream.records import Alert
from stream.seams import Partition, Record
from stream.settings import Settings
from stream.telemetry import Telemetry


class Assigned(NamedTuple):
    """A recording and the input partition that it plays: one each, so that results do not depend on the company."""

    partition: int
    recording: Recording


@dataclass(frozen=True, slots=True)
class Tally:
    """What went in, and what became of it. Records are frames or cell samples, as on the wire."""

    records: int = 0
    cell_samples: int = 0
    late: int = 0
    duplicate: int = 0
    masked: int = 0
    dead_letters: tuple[tuple[str, int], ...] = ()

    def __add__(self, other: Tally) -> Tally:
        letters = Counter(dict(self.dead_letters)) + Counter(dict(other.dead_letters))
        return Tally(
            self.records + other.records,
            self.cell_samples + other.cell_samples,
            self.late + other.late,
            self.duplicate + other.duplicate,
            self.masked + other.masked,
            tuple(sorted(letters.items())),
        )


class Outcome(NamedTuple):
    """The predictions with their truth and baselines (see ``replay.prediction_table``), the alerts, and the tally."""

    predictions: pa.Table
    alerts: list[Alert]
    tally: Tally


def run_pipeline(assigned: Sequence[Assigned], settings: Settings, progress: Callable[[int], None]) -> Outcome:
    """Feeds the recordings through the pipeline as fast as it goes; ``progress`` hears how many records went in."""
    artifact = load(settings.model.path)
    # A backtest says the same on a GPU and on a CPU.
    precision = "fp32" if settings.model.precision == "auto" else settings.model.precision
    predictor = Predictor(artifact, settings.model.device, precision)
    predictor.warm(settings.batch.max_windows)
    warm_kernels(artifact.manifest)
    topic = settings.topics.telemetry
    source = MemorySource(
        {Partition(topic, partition): _records(recording, progress) for partition, recording in assigned}
    )
    sink, telemetry, clock = MemorySink(), Telemetry(), SystemClock()
    interval_s = settings.commit.interval_ms / 1000
    outlet = AtLeastOnce(sink, source.commit, interval_s=interval_s, telemetry=telemetry, clock=clock)
    pipeline = assemble(source, outlet, predictor, artifact.manifest, settings, telemetry=telemetry, clock=clock)
    run_to_end(pipeline.run())
    recordings = [recording for _, recording in assigned]
    letters = Counter(
        value.decode()
        for message in sink.messages.get(settings.topics.dead_letters, ())
        for name, value in message.headers
        if name == "reason"
    )
    tally = Tally(
        sum(recording.frames for recording in recordings),
        sum(recording.frames * recording.cells for recording in recordings),
        _total(telemetry, "cyclecast_late_records_total"),
        _total(telemetry, "cyclecast_duplicate_records_total"),
        _total(telemetry, "cyclecast_masked_samples_total"),
        tuple(sorted(letters.items())),
    )
    values = [message.value or b"" for message in sink.messages.get(settings.topics.predictions, ())]
    decode = msgspec.json.Decoder(Alert).decode
    alerts = [decode(message.value or b"") for message in sink.messages.get(settings.topics.alerts, ())]
    return Outcome(prediction_table(values, recordings, artifact.manifest), alerts, tally)


def _records(recording: Recording, progress: Callable[[int], None]) -> Iterator[Record]:
    offset = 0
    for batch in Feed([Member(recording, recording.pack_id)]):
        for key, value in zip(batch.keys, batch.values, strict=True):
            yield Record(offset, 0, key, value)
            offset += 1
        progress(len(batch.values))


def _total(telemetry: Telemetry, name: str) -> int:
    return int(telemetry.registry.get_sample_value(name) or 0)
