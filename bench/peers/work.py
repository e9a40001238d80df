"""The work that every peer does, so that only the frameworks differ: decode, steps of a minute, windows of 200 of them,
the LSTM, encode.

A step is the mean of a minute's samples, and complete when a sample of a later minute arrives. A prediction is due at
every 50th step, and carries values when the window is full.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact import load
from stream.records import CellSample, PackFrame, Telemetry

STEPS, STRIDE, CHANNELS = 200, 50, 3
PERIOD_MS = 60_000
CHUNK = 64  # windows at a time: one core is fastest there

torch.set_num_threads(1)
_forecaster = load("sample").forecaster.eval()
_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Telemetry).decode


@dataclass(frozen=True, slots=True)
class Task:
    """What a peer is asked to do; the runner says so in the environment."""

    bootstrap: str
    group: str
    telemetry: str
    predictions: str
    folder: str  # for whatever it keeps on disk

    @classmethod
    def given(cls) -> Task:
        """The task of this process."""
        return cls(*(os.environ[f"PEER_{name.upper()}"] for name in cls.__slots__))


class Due(NamedTuple):
    """Windows of consecutive cells of a pack, float32 [cells, STEPS, CHANNELS]; none while they are not full."""

    pack_id: str
    first_cell: int
    cells: int
    step: int
    windows: NDArray[np.float32] | None


Sums = NDArray[np.float64] | tuple[float, float, float]


class Minute(NamedTuple):
    """The open minute of cells that report together: the steps before it, its samples, and the sums over these."""

    minute: int
    steps: int
    samples: int
    sums: Sums

    @classmethod
    def of(cls, frame: Telemetry, steps: int = 0) -> Minute:
        """One that begins with a frame."""
        return cls(frame.t_ms // PERIOD_MS, steps, 1, sample_of(frame))

    def add(self, frame: Telemetry) -> Minute:
        """With a frame of the same minute."""
        sums, sample = self.sums, sample_of(frame)
        if isinstance(sums, tuple):
            added: Sums = (sums[0] + sample[0], sums[1] + sample[1], sums[2] + sample[2])
        else:
            added = sums + sample
        return Minute(self.minute, self.steps, self.samples + 1, added)

    def over(self, frame: Telemetry) -> bool:
        """Whether a frame is of a later minute."""
        return frame.t_ms // PERIOD_MS > self.minute

    def mean(self) -> NDArray[np.float32]:
        """The step, float32 [cells, CHANNELS]."""
        return (np.asarray(self.sums, np.float64).reshape(-1, CHANNELS) / self.samples).astype(np.float32)


class Ring:
    """The open minute and the newest steps of cells that report together, in memory."""

    def __init__(self, frame: Telemetry) -> None:
        self.minute = Minute.of(frame)
        self.steps = np.empty((STEPS, cells_of(frame), CHANNELS), np.float32)

    def add(self, frame: Telemetry) -> Due | None:
        """Folds a sample in; what that makes due."""
        if not self.minute.over(frame):
            self.minute = self.minute.add(frame)
            return None
        self.steps[self.minute.steps % STEPS] = self.minute.mean()
        self.minute = Minute.of(frame, self.minute.steps + 1)
        count = self.minute.steps
        if count % STRIDE:
            return None
        at = count % STEPS
        in_order = np.concatenate((self.steps[at:], self.steps[:at])) if count >= STEPS else None
        return due_windows(frame, count, in_order)


class Rings:
    """The rings of all packs, in memory."""

    def __init__(self) -> None:
        self._of: dict[str | tuple[str, int], Ring] = {}

    def add(self, frame: Telemetry) -> Due | None:
        """Folds a sample into the pack's or the cell's ring."""
        key = frame.pack_id if isinstance(frame, PackFrame) else (frame.pack_id, frame.cell)
        ring = self._of.get(key)
        if ring is None:
            self._of[key] = Ring(frame)
            return None
        return ring.add(frame)


def cells_of(frame: Telemetry) -> int:
    """How many cells report in it."""
    return len(frame.voltage_v) if isinstance(frame, PackFrame) else 1


def sample_of(frame: Telemetry) -> Sums:
    """Voltage, current by nominal capacity, and temperature: of a pack's cells float64 [cells, CHANNELS]."""
    rate = frame.current_a / (frame.nominal_capacity_ah or 1.0)
    if isinstance(frame, CellSample):
        return frame.voltage_v, rate, np.nan if frame.temp_degc is None else frame.temp_degc
    cells, temps = len(frame.voltage_v), frame.temp_degc or [np.nan]
    sample = np.empty((cells, CHANNELS))
    sample[:, 0] = frame.voltage_v
    sample[:, 1] = rate
    sample[:, 2] = np.asarray(temps)[_probes(cells, len(temps))]
    return sample


@cache
def _probes(cells: int, probes: int) -> NDArray[np.int64]:
    return np.arange(cells) * probes // cells


def due_windows(frame: Telemetry, step: int, steps: NDArray[np.float32] | None) -> Due:
    """Windows out of steps in order, float32 [STEPS, cells, CHANNELS]."""
    windows = None if steps is None else np.ascontiguousarray(steps.transpose(1, 0, 2))
    return Due(frame.pack_id, frame.cell if isinstance(frame, CellSample) else 0, cells_of(frame), step, windows)


def predictions(dues: Sequence[Due]) -> Iterator[tuple[bytes, bytes]]:
    """Keys and JSON values; all windows that are due together go through the network together."""
    full = [due.windows for due in dues if due.windows is not None]
    quantiles = iter(_predicted(np.concatenate(full)) if full else ())
    for due in dues:
        for cell in range(due.first_cell, due.first_cell + due.cells):
            key = f"{due.pack_id}/{cell}".encode()
            value: dict[str, object] = {"pack_id": due.pack_id, "cell": cell, "step": due.step}
            if due.windows is None:
                value["flags"] = ["insufficient_data"]
            else:
                p05, p50, p95 = next(quantiles)
                value["soh"] = {"p05": p05, "p50": p50, "p95": p95}
            yield key, _encode(value)


def _predicted(windows: NDArray[np.float32]) -> list[list[float]]:
    with torch.inference_mode():
        chunks = [_forecaster(chunk)[:, 0] for chunk in torch.split(torch.from_numpy(windows), CHUNK)]
    return torch.cat(chunks).tolist()


@cache
def started() -> None:
    """Says, once, that the first record is here: the clock runs from now on."""
    print("started", file=sys.__stdout__, flush=True)  # some make a log of what is printed
