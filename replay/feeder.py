"""Recordings as records ready for the wire: merged in event-time order, encoded in batches, exactly counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.recording import Recording
from replay.fleet import Member
from replay.measured import measured_ah
from replay.merge import Lane, Slice, due_ms, merged
from replay.shortest import shortest
from stream.records import CellSample, PackFrame

BATCH_RECORDS = 2048


class FeedBatch(NamedTuple):
    """Consecutive records of the feed: key (the pack id) and JSON value of each.

    member: int64 [n], whose record it is. row: int64 [n], the row of its recording. t_ms: int64 [n], event time sent.
    due_ms: int64 [n], ascending: when to send it, by event time. cells: int64 [n], cell samples in the record.
    """

    keys: list[bytes]
    values: list[bytes]
    member: NDArray[np.int64]
    row: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    due_ms: NDArray[np.int64]
    cells: NDArray[np.int64]


class Feed:
    """The records of a fleet in the order in which they are to be sent. Iterate it as often as you like."""

    def __init__(
        self, members: Sequence[Member], *, shift_ms: int = 0, skip: int = 0, batch_records: int = BATCH_RECORDS
    ) -> None:
        """``shift_ms`` moves all event times; the first ``skip`` records, acknowledged earlier, are left out."""
        self.members = [member for member in members if member.recording.frames]
        self.shift_ms = shift_ms
        self.skip = skip
        self.batch_records = batch_records
        recordings = {id(member.recording): member.recording for member in self.members}
        due = {key: due_ms(recording.t_ms) for key, recording in recordings.items()}
        self._measured_ah = {key: measured_ah(recording) for key, recording in recordings.items()}
        self._lanes = [Lane(due[id(member.recording)], member.shift_ms + shift_ms) for member in self.members]

    @property
    def records(self) -> int:
        """Records that it gives."""
        return max(sum(member.recording.frames for member in self.members) - self.skip, 0)

    @property
    def first_ms(self) -> int:
        """When its first record is due, by event time."""
        return min((int(lane.due_ms[0]) + lane.shift_ms for lane in self._lanes), default=0)

    @property
    def last_ms(self) -> int:
        """The latest event time in it."""
        return max((int(lane.due_ms[-1]) + lane.shift_ms for lane in self._lanes), default=0)

    @property
    def fingerprint(self) -> str:
        """12 hex digits that tell whether two feeds give the same records in the same order, but for the shift."""
        told = [
            (member.pack_id, member.shift_ms, member.recording.frames, *map(int, member.recording.t_ms[[0, -1]]))
            for member in self.members
        ]
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:12]

    def __iter__(self) -> Iterator[FeedBatch]:
        skip = self.skip
        for part in merged(self._lanes, self.batch_records):
            size = len(part.row)
            if skip >= size:
                skip -= size
                continue
            yield self._encoded(Slice(*(array[skip:] for array in part)))
            skip = 0

    def _encoded(self, part: Slice) -> FeedBatch:
        """Encodes the rows member by member, and puts them back in order."""
        order = np.argsort(part.lane, kind="stable")
        members, starts = np.unique(part.lane[order], return_index=True)
        runs = [
            (self.members[member], part.row[order[start:stop]])
            for member, start, stop in zip(members.tolist(), starts, [*starts[1:], len(order)], strict=True)
        ]
        capacities = np.concatenate([self._measured_ah[id(member.recording)][rows] for member, rows in runs])
        records = encoded(runs, capacities, self.shift_ms)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return FeedBatch(
            keys=[records.keys[index] for index in back],
            values=[records.values[index] for index in back],
            member=part.lane,
            row=part.row,
            t_ms=records.t_ms[back],
            due_ms=part.due_ms,
            cells=records.cells[back],
        )


class Encoded(NamedTuple):
    """Encoded rows, run by run. t_ms, cells: int64 [n]."""

    keys: list[bytes]
    values: list[bytes]
    t_ms: NDArray[np.int64]
    cells: NDArray[np.int64]


def encoded(
    runs: Sequence[tuple[Member, NDArray[np.int64]]], capacities: NDArray[np.float32], shift_ms: int = 0
) -> Encoded:
    """The given rows of members as records on the wire. An invalid reading is ``null``, as JSON has no NaN.

    capacities: float32 [rows of all runs], what was measured, NaN where nothing was.
    The readings of all runs are turned to decimals at once: a fleet of many packs has few rows of each in a batch.
    """
    t_ms = np.concatenate([member.recording.t_ms[rows] + (member.shift_ms + shift_ms) for member, rows in runs])
    cycles = np.concatenate([member.recording.cycle[rows] for member, rows in runs])
    currents = np.concatenate([member.recording.current_a[rows] for member, rows in runs])
    voltages = np.concatenate([member.recording.voltage_v[rows].ravel() for member, rows in runs])
    temps = np.concatenate([member.recording.temp_degc[rows].ravel() for member, rows in runs])
    cells = np.repeat([member.recording.cells for member, _ in runs], [len(rows) for _, rows in runs])

    keys: list[bytes] = []
    values: list[bytes] = []
    encode = msgspec.json.Encoder().encode
    times, numbers = t_ms.tolist(), [None if number < 0 else number for number in cycles.tolist()]
    current_a, voltage_v, temp_degc = shortest(currents).tolist(), shortest(voltages).tolist(), shortest(temps).tolist()
    measured = [each if each > 0 else None for each in shortest(capacities).tolist()]
    at = voltage_at = temp_at = 0
    for member, rows in runs:
        recording = member.recording
        nominal_ah, pack_id, count = recording.nominal_capacity_ah, member.pack_id, len(rows)
        keys += [pack_id.encode()] * count
        if recording.kind == "cell":
            for index in range(at, at + count):
                voltage, temp = _single(voltage_v, temp_degc, voltage_at, temp_at, recording)
                sample = CellSample(
                    pack_id,
                    0,
                    times[index],
                    current_a[index],
                    voltage,
                    temp,
                    numbers[index],
                    measured[index],
                    nominal_ah,
                    v=1,
                )
                values.append(encode(sample))
                voltage_at, temp_at = voltage_at + 1, temp_at + recording.temp_degc.shape[1]
        else:
            width, probes = recording.cells, recording.temp_degc.shape[1]
            for index in range(at, at + count):
                readings = voltage_v[voltage_at : voltage_at + width]
                probed = temp_degc[temp_at : temp_at + probes] or None
                frame = PackFrame(
                    pack_id,
                    times[index],
                    current_a[index],
                    readings,
                    probed,
                    numbers[index],
                    measured[index],
                    nominal_ah,
                    v=1,
                )
                values.append(encode(frame))
                voltage_at, temp_at = voltage_at + width, temp_at + probes
        at += count
    return Encoded(keys, values, t_ms, cells)


def _single(
    voltage_v: list[float], temp_degc: list[float], voltage_at: int, temp_at: int, recording: Recording
) -> tuple[float, float | None]:
    return voltage_v[voltage_at], temp_degc[temp_at] if recording.temp_degc.shape[1] else None


def rebased_shift_ms(first_ms: int, last_ms: int, now_ms: int, speed: float) -> int:
    """The shift that brings a feed to now, such that event time never runs ahead of the clock at any speed.

    At ``speed`` above 1 the last record is sent when its event time is now; below 1 the first one is.
    """
    return now_ms + int((last_ms - first_ms) / max(speed, 1.0)) - last_ms
