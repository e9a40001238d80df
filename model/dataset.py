"""Recordings to windows and labels, by the very same compiled steps as the live stream, and split by cell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.block import FrameBlock
from model.plausibility import mask_implausible
from model.recording import Recording
from model.schema import CycleSteps, SampleSteps, Target
from model.steps import new_cursor, new_state
from model.truth import labels
from model.windows import WindowBatch

# What the stream accepts of a reading; a value outside is as good as none.
_BATCH = 512

Steps = NDArray[np.float32]


class DatasetError(ValueError):
    """Recordings that cannot make one data set; the message says what to change."""


class _Rows(NamedTuple):
    """Columns of a `WindowSet`, for one cell."""

    end: NDArray[np.int64]
    length: NDArray[np.int64]
    cell: NDArray[np.int32]
    cycle: NDArray[np.int32]
    labels: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CellRecord:
    """A cell of a data set: its name, where it was recorded, what it was measured to hold.

    cycle: int32 [k], ascending; soh: float32 [k], measured capacity over nominal; both empty where nothing is known.
    """

    cell_id: str
    source: str
    sha256: str
    cycle: NDArray[np.int32]
    soh: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WindowSet:
    """Windows of many cells, kept as the steps they are cut from: a step is stored once, however many windows show it.

    steps: float32 [S, C], each cell's in order; step_cell: int32 [S], whose they are. end, length: int64 [n]; window
    ``i`` is ``steps[end-length:end]``, right-aligned in ``window`` steps. cell: int32 [n], index into ``cells``.
    cycle: int32 [n], -1 unknown. labels: float32 [n, T], NaN unknown.
    """

    window: int
    cells: tuple[CellRecord, ...]
    steps: NDArray[np.float32]
    step_cell: NDArray[np.int32]
    end: NDArray[np.int64]
    length: NDArray[np.int64]
    cell: NDArray[np.int32]
    cycle: NDArray[np.int32]
    labels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.end)

    @property
    def cell_ids(self) -> list[str]:
        """The cells' names, in their order."""
        return [cell.cell_id for cell in self.cells]

    def windows(self, rows: NDArray[np.int64], newest: int | None = None) -> NDArray[np.float32]:
        """The windows ``rows`` [k]: float32 [k, L, C], NaN where there is no step; or their ``newest`` steps alone."""
        back = np.arange(-(newest or self.window), 0)
        at = self.end[rows, None] + back
        absent = back < -self.length[rows, None]
        gathered = self.steps[np.where(absent, 0, at)]
        gathered[absent] = np.nan
        return gathered

    def of_cells(self, cell_ids: Iterable[str]) -> NDArray[np.int64]:
        """The rows of the named cells, ascending."""
        wanted = set(cell_ids)
        chosen = np.array([cell_id in wanted for cell_id in self.cell_ids], bool)
        return np.flatnonzero(chosen[self.cell]) if self.cells else np.zeros(0, np.int64)


def cell_ids_of(recording: Recording) -> list[str]:
    """The names of a recording's cells: ``PACK/CELL`` in a pack, the cell's own name where it travels alone."""
    if recording.kind == "cell":
        return [recording.pack_id]
    return [f"{recording.pack_id}/{cell}" for cell in range(recording.cells)]


def fingerprint(recording: Recording) -> str:
    """The SHA-256 of a recording's readings and truth."""
    digest = hashlib.sha256()
    parts = [recording.t_ms, recording.current_a, recording.voltage_v, recording.temp_degc, recording.cycle]
    if recording.truth is not None:
        parts += [recording.truth.cell, recording.truth.cycle, recording.truth.capacity_ah]
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def block_of(recording: Recording) -> FrameBlock:
    """The recording as the stream would decode it: invalid readings masked, rows without a usable current left out.

    Its cells take the slots from 0 on.
    """
    frames, cells, probes = recording.frames, recording.cells, recording.temp_degc.shape[1]
    nominal_ah = np.nan if recording.nominal_capacity_ah is None else recording.nominal_capacity_ah
    block = FrameBlock(
        first_slot=np.zeros(frames, np.int64),
        cells=np.full(frames, cells, np.int64),
        t_ms=recording.t_ms,
        current_a=recording.current_a,
        cycle=recording.cycle,
        nominal_ah=np.full(frames, nominal_ah, np.float32),
        capacity_ah=np.full(frames, np.nan, np.float32),
        voltage_start=np.arange(frames, dtype=np.int64) * cells,
        voltage_v=recording.voltage_v.flatten(),
        temp_start=np.arange(frames, dtype=np.int64) * probes,
        probes=np.full(frames, probes, np.int64),
        temp_degc=recording.temp_degc.flatten(),
    )
    return block.select(mask_implausible(block))


def windows_of(
    recordings: Iterable[Recording], steps: SampleSteps | CycleSteps, targets: Sequence[Target], eol_soh: float
) -> WindowSet:
    """Every window that becomes due as the recordings run through the steps, with its labels.

    Windows of fewer than ``min_steps`` steps are left out: the stream gives them no values.
    """
    builder = _Builder(steps, tuple(targets), eol_soh)
    for recording in recordings:
        builder.add(recording)
    return builder.build()


class _Builder:
    """Collects the windows of one recording after the other."""

    def __init__(self, steps: SampleSteps | CycleSteps, targets: tuple[Target, ...], eol_soh: float) -> None:
        self._steps, self._targets, self._eol_soh = steps, targets, eol_soh
        # A window becomes due every so many steps: only these are new since the one before.
        self._new_steps = min(steps.stride, steps.window) if isinstance(steps, SampleSteps) else 1
        self._cells: list[CellRecord] = []
        self._stored = 0
        self._pieces: list[NDArray[np.float32]] = []
        self._rows: list[_Rows] = []

    def add(self, recording: Recording) -> None:
        slot, length, cycle, fresh = self._run(recording)
        sha256 = fingerprint(recording)
        for cell, cell_id in enumerate(cell_ids_of(recording)):
            if any(cell_id == known.cell_id for known in self._cells):
                raise DatasetError(f"cell {cell_id} ({recording.source}) comes twice: give each recording its own name")
            mine = slot == cell
            count = np.minimum(length[mine], self._new_steps)
            shown = np.arange(self._new_steps) >= self._new_steps - count[:, None]
            end = self._stored + np.cumsum(count)
            self._pieces.append(fresh[mine][shown])
            self._stored += int(count.sum())
            enough = length[mine] >= self._steps.min_steps
            at_cycle = cycle[mine][enough]
            measured = CellRecord(cell_id, recording.source, sha256, *self._measured(recording, cell))
            found = labels(self._targets, at_cycle, measured.cycle, measured.soh, self._eol_soh)
            index = np.full(len(at_cycle), len(self._cells), np.int32)
            self._rows.append(_Rows(end[enough], length[mine][enough], index, at_cycle, found))
            self._cells.append(measured)

    def build(self) -> WindowSet:
        channels, targets = len(self._steps.channels), len(self._targets)
        none = np.zeros(0, np.int64)
        nothing = _Rows(none, none, none.astype(np.int32), none.astype(np.int32), np.zeros((0, targets), np.float32))
        columns = [np.concatenate(column) for column in zip(nothing, *self._rows, strict=True)]
        steps = np.concatenate([np.zeros((0, channels), np.float32), *self._pieces])
        step_cell = np.repeat(np.arange(len(self._pieces), dtype=np.int32), [len(piece) for piece in self._pieces])
        return WindowSet(self._steps.window, tuple(self._cells), steps, step_cell, *_Rows(*columns))

    def _run(self, recording: Recording) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], Steps]:
        """The slot, length and cycle of each due window [n], and its steps that are new: float32 [n, new, C]."""
        block, state = block_of(recording), new_state(self._steps, recording.cells)
        out = WindowBatch.empty(_BATCH, self._steps.window, len(self._steps.channels))
        cursor = new_cursor()
        slots, lengths, cycles, fresh = [], [], [], []
        while True:
            filled = state.update(block, cursor, out, 0)
            slots.append(out.slot[:filled].copy())
            lengths.append(out.length[:filled].astype(np.int64))
            # A step that its number closed belongs to that cycle; one that closed by itself, to the cycle it ended in.
            number = block.cycle[out.frame[:filled]]
            by_itself = isinstance(self._steps, CycleSteps) and self._steps.close_on != "cycle"
            cycles.append(number if by_itself else np.where(number < 0, np.int32(-1), out.cycle[:filled]))
            fresh.append(out.windows[:filled, -self._new_steps :].copy())
            if cursor[0] >= block.frames:
                return np.concatenate(slots), np.concatenate(lengths), np.concatenate(cycles), np.concatenate(fresh)

    def _measured(self, recording: Recording, cell: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if recording.truth is None:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        cycle, capacity_ah = recording.truth.of_cell(cell)
        nominal_ah = recording.nominal_capacity_ah or self._steps.nominal_capacity_ah
        return cycle, capacity_ah / np.float32(nominal_ah)
