"""What a cell holds in memory beside its arrays; a million cells; whether a pipeline grows with what it has seen."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bench.core import apart, peak_bytes, resident_bytes
from bench.flow import in_memory
from bench.load import START_MS, Load
from bench.table import Cost
from model.artifact import load
from model.block import FrameBlock
from model.dataset import windows_of
from model.predictor import Predictor
from model.recording import Recording
from model.schema import SampleSteps
from model.steps import new_cursor
from model.windows import WindowBatch
from replay.readers import read
from stream.assembly import warm_kernels
from stream.seams import Record

CELLS = 96
FLEET, LARGE_FLEET = 1_042, 10_417  # packs: 100 k cells, 1 M cells
SAMPLE_FLEET = Path(__file__).parent.parent / "replay" / "samples"
TURNS = 12
LOAD = Load(packs=40, cells=CELLS, frames=200 * TURNS, partitions=1, frames_a_cycle=400)
WINDOWS = 2000


class Held(NamedTuple):
    """Bytes a cell: its arrays, what the process grew by, and by how much at most."""

    arrays: float
    resident: float
    peak: float


def rows() -> Iterator[Cost]:
    """Bytes a cell against its rows and rings; a million cells; resident memory as the load goes on."""
    for name, length in (("sample", 200), ("cycle", load("cycle").manifest.window)):
        held = apart(per_cell, name, FLEET)
        yield Cost(f"a cell, {name} steps, L={length}, of 100 k", "B", "its arrays", held.arrays, held.resident, 1.2)
    held, cells = apart(per_cell, "sample", LARGE_FLEET), LARGE_FLEET * CELLS
    roof, resident, peak = cells * held.arrays, cells * held.resident, cells * held.peak
    yield Cost("1 M cells of sample steps, L=200", "B", "their arrays", roof, resident, None, 2e9)
    yield Cost("the same, at most while they came in", "B", "their arrays", roof, peak, None, 2e9)
    mean, worst, mae = apart(rounding)
    yield Cost("SOH moved by steps of six bytes, mean", "SOH", "the model's mean error", mae, mean, 0.01)
    yield Cost("SOH moved by steps of six bytes, worst", "SOH", "the model's mean error", mae, worst, 0.1)
    early, late = apart(growth)
    yield Cost(f"resident memory after {TURNS} loads", "B", f"after {TURNS // 3}", early, late, 1.05)


def per_cell(name: str, packs: int) -> Held:
    """A fleet that comes in pack by pack, as new packs do; then every ring is filled."""
    artifact = load(name)
    predictor = Predictor(artifact, "cpu", "fp32")
    warm_kernels(artifact.manifest)
    asyncio.run(in_memory(predictor, artifact, [_first_frames(1)]).run())
    gc.collect()
    before = resident_bytes()
    pipeline = in_memory(predictor, artifact, [_first_frames(packs)], 2 * packs * CELLS)
    asyncio.run(pipeline.run())
    (cells,) = pipeline.cells.values()
    state = cells.state
    if isinstance(artifact.manifest.steps, SampleSteps):
        period_ms = round(artifact.manifest.steps.period_s * 1000)
        out = WindowBatch.empty(2, artifact.manifest.window, len(artifact.manifest.channels))
        for step in range(1, artifact.manifest.window + 1):
            state.update(_frames(packs, START_MS + step * period_ms), new_cursor(), out, 0, emit=False)
    else:
        for array in state.arrays:
            array[: packs * CELLS] = array[: packs * CELLS].copy()  # what was never written, the system does not hold
    gc.collect()
    count = packs * CELLS
    arrays = sum(array.nbytes / len(array) for array in state.arrays)
    grown = resident_bytes() - before
    return Held(arrays, grown / count, (peak_bytes() - before) / count)


def _first_frames(packs: int) -> Iterator[Record]:
    for offset, sent in enumerate(Load(packs, CELLS, frames=1, partitions=1).sent()):
        yield Record(offset, 0, sent.key, sent.value)


def _frames(packs: int, t_ms: int) -> FrameBlock:
    """A frame of every pack."""
    return FrameBlock(
        first_slot=np.arange(packs, dtype=np.int64) * CELLS,
        cells=np.full(packs, CELLS, np.int64),
        t_ms=np.full(packs, t_ms, np.int64),
        current_a=np.full(packs, 1.0, np.float32),
        cycle=np.zeros(packs, np.int32),
        nominal_ah=np.full(packs, 50.0, np.float32),
        capacity_ah=np.full(packs, np.nan, np.float32),
        voltage_start=np.zeros(packs, np.int64),
        voltage_v=np.full(CELLS, 3.6, np.float32),
        temp_start=np.zeros(packs, np.int64),
        probes=np.ones(packs, np.int64),
        temp_degc=np.full(1, 25.0, np.float32),
    )


def rounding() -> tuple[float, float, float]:
    """By how much the rounding of kept steps moves the SOH of the artifact ``sample`` on cells that it was not trained
    on: in the mean and at most; and its mean error there.
    """
    artifact = load("sample")
    manifest = artifact.manifest
    assert isinstance(manifest.steps, SampleSteps)
    recordings = list(read(sorted(SAMPLE_FLEET.glob("*-1.parquet"))))
    found = windows_of(recordings, manifest.steps, manifest.targets, manifest.eol_soh)
    rows = np.arange(0, len(found), max(len(found) // WINDOWS, 1))
    predictor = Predictor(artifact, "cpu", "fp32")
    answers = predictor.predict(found.windows(rows), len(rows))[:, 0, 1]
    exact = np.concatenate([_exact_windows(recording, manifest.steps) for recording in recordings])[rows]
    moved = np.abs(predictor.predict(exact, len(rows))[:, 0, 1] - answers)
    return float(moved.mean()), float(moved.max()), float(np.nanmean(np.abs(answers - found.labels[rows, 0])))


def _exact_windows(recording: Recording, steps: SampleSteps) -> NDArray[np.float32]:
    """The full windows of a recording that has no long hole, cell after cell, with means rounded to float32."""
    point = recording.t_ms // round(steps.period_s * 1000)
    start = np.flatnonzero(np.diff(point, prepend=-1))
    repeats = np.diff(point[start])
    assert repeats.max() <= steps.max_gap_s // steps.period_s
    windows = []
    for cell in range(recording.cells):
        probe = cell * recording.temp_degc.shape[1] // recording.cells
        rate = recording.current_a / np.float64(recording.nominal_capacity_ah or steps.nominal_capacity_ah)
        read = np.stack([recording.voltage_v[:, cell], rate, recording.temp_degc[:, probe]], 1)
        means = np.add.reduceat(read, start)[:-1] / np.diff(start)[:, None]
        made = sliding_window_view(np.repeat(means, repeats, axis=0).astype(np.float32), steps.window, axis=0)
        due = np.arange(-steps.window % steps.stride, len(made), steps.stride)
        windows.append(made[due].transpose(0, 2, 1))
    return np.concatenate(windows)


def growth() -> tuple[float, float]:
    """Resident bytes of a pipeline in memory after a third of its loads, and after all of them."""
    artifact = load("cycle")
    predictor = Predictor(artifact, "cpu", "fp32")
    predictor.warm()
    warm_kernels(artifact.manifest)
    resident: list[int] = []
    asyncio.run(in_memory(predictor, artifact, [_watched(resident)]).run())
    return resident[TURNS // 3 - 1], resident[-1]


def _watched(resident: list[int]) -> Iterator[Record]:
    """The records of `TURNS` loads, made as they are asked for; notes what the process holds after each."""
    for offset, sent in enumerate(LOAD.sent(), 1):
        yield Record(offset, 0, sent.key, sent.value)
        if offset % (LOAD.records // TURNS) == 0:
            resident.append(resident_bytes())
