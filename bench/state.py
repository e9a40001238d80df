"""What keeping cell state costs in bytes, and how fast it comes back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bench.core import apart, core_s
from bench.flow import records
from bench.load import Load
from bench.table import Cost, Line, Row
from model.artifact import load
from model.schema import CycleSteps, SampleSteps
from model.steps import APPLIED, new_cursor
from model.windows import WindowBatch
from stream.cells import Cells
from stream.checkpoint import Checkpoint
from stream.codec import Codec
from stream.pages import Arrays, decode
from stream.restoration import Restoration
from stream.seams import Record
from stream.settings import LimitSettings, StateSettings

STATE = StateSettings()
PACKS, CELLS = 40, 96
PERIOD_MS = 10_000
FRAMES_AN_HOUR = 3_600_000 // PERIOD_MS
HOURS = {"cycle": 8, "sample": 1}  # a cycle an hour, and a few steps a page
CELLS_A_MINUTE = 200_000
RESTORED_BYTES = 30e6

Pages = Sequence[tuple[bytes, bytes]]


class Kept(NamedTuple):
    """Bytes: of the telemetry and of the pages written, a cell sample; of all pages and of the arrays, a cell.
    Cells a second of CPU time: restored, and their pages only unpacked.
    """

    telemetry: float
    pages: float
    kept: float
    arrays: float
    restored: float
    unpacked: float


def rows() -> Iterator[Line]:
    """Bytes of pages beside those of the telemetry; cells from pages to state in a second."""
    for name in HOURS:
        kept = apart(measure, name)
        yield Cost(f"pages of {name} steps, a cell sample", "B", "its telemetry, JSON", kept.telemetry, kept.pages, 1.0)
        yield Cost(f"all pages of {name} steps, a cell", "B", "its arrays", kept.arrays, kept.kept, 1.2)
        path, roof = f"restore {name} steps", "unpacking the pages"
        yield Row(path, "cells", roof, kept.unpacked, kept.restored, bar_rate=CELLS_A_MINUTE / 60)
        yield Row(path, "B", roof, kept.unpacked * kept.kept, kept.restored * kept.kept, bar_rate=RESTORED_BYTES)


def measure(name: str) -> Kept:
    """A fleet that is charged and drawn, its pages written at the default interval, and all of it back from them."""
    steps = load(name).manifest.steps
    frames = HOURS[name] * FRAMES_AN_HOUR
    fleet = Load(PACKS, CELLS, frames, partitions=1, frames_a_cycle=FRAMES_AN_HOUR, period_ms=PERIOD_MS)
    taken = records([sent.value for sent in fleet.sent()])
    cells = _cells(steps)
    checkpoint = Checkpoint(cells, "state", 0, STATE.page_interval_s, lineage=1)
    latest: dict[bytes, bytes] = {}
    written = 0
    for begin in range(0, len(taken), PACKS):
        _fold(cells, taken[begin : begin + PACKS])
        for page in checkpoint.due(begin + PACKS, begin / PACKS * PERIOD_MS / 1000):
            assert page.key is not None
            assert page.value is not None
            latest[page.key] = page.value
            written += len(page.value)
    samples = int(cells.state.counts[APPLIED])
    kept = list(latest.items())
    restored_s = min(core_s(lambda: _restored(steps, kept, len(taken), len(cells))) for _ in range(3))
    unpacked_s = min(core_s(lambda: _unpacked(kept)) for _ in range(3))
    return Kept(
        telemetry=sum(len(record.value or b"") for record in taken) / samples,
        pages=written / samples,
        kept=sum(len(value) for _, value in kept) / len(cells),
        arrays=sum(array[:1].nbytes for array in cells.state.arrays),
        restored=len(cells) / restored_s,
        unpacked=len(cells) / unpacked_s,
    )


def _cells(steps: SampleSteps | CycleSteps) -> Cells:
    return Cells(steps, LimitSettings(partition_cells=PACKS * CELLS), STATE.idle_ttl_s)


def _fold(cells: Cells, taken: Sequence[Record]) -> None:
    codec = Codec(2**20)
    frames, refused = codec.decode(taken)
    assert not refused
    offset = np.array([record.offset for record in taken], np.int64)
    nowhere = WindowBatch.empty(2, cells.state.steps.window, len(cells.state.steps.channels))
    admissions = cells.admit(frames, offset, np.full(len(taken), 2**52), lambda position: codec.read(taken[position]))
    for admitted, refused in admissions:
        assert not refused
        cells.update(admitted, new_cursor(), nowhere, 0, emit=False)


def _restored(steps: SampleSteps | CycleSteps, kept: Pages, end: int, cells: int) -> None:
    restoration = Restoration(lambda: _cells(steps))
    restoration.read(kept)
    assert len(restoration.finish(end, reset=False)) == cells


def _unpacked(kept: Pages) -> None:
    for _, value in kept:
        page = decode(value)
        if isinstance(page, Arrays):
            zlib.decompress(page.body)
