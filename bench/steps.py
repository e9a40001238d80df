"""The cell-state update alone: compiled kernels over pack frames of 96 cells, against a bare pass over the readings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numba import njit

from bench.table import Row
from model.block import FrameBlock
from model.schema import CycleSteps, SampleSteps
from model.steps import new_cursor, new_state
from model.windows import WindowBatch

PACKS, CELLS, FRAMES = 100, 96, 50
ROUNDS = 9
PERIOD_MS = 10_000


def rows() -> Iterator[Row]:
    """Both step kinds; the bars are cell samples per second on one core."""
    blocks = [block(turn) for turn in range(ROUNDS + 1)]
    for steps, bar_rate in ((SampleSteps(), 25e6), (CycleSteps(), 12e6)):
        state = new_state(steps, PACKS * CELLS)
        out = WindowBatch.empty(4096, steps.window, len(steps.channels))

        def fold(block: FrameBlock, state=state, out=out) -> None:  # type: ignore[no-untyped-def]
            cursor = new_cursor()
            while cursor[0] < block.frames:
                state.update(block, cursor, out, 0)

        bare, ours = _best(_pass, blocks), _best(fold, blocks)
        yield Row(
            f"state update, {type(steps).__name__}",
            "cell samples",
            "one pass over the readings",
            bare,
            ours,
            bar_rate=bar_rate,
        )


def _best(run: Callable[[FrameBlock], object], blocks: list[FrameBlock]) -> float:
    """Cell samples per second of the best round; the first compiles, and is not counted."""
    rates = []
    for block in blocks:
        began = time.process_time()
        run(block)
        rates.append(block.voltage_v.size / (time.process_time() - began))
    return max(rates[1:])


@njit(cache=True)
def _pass(block):  # type: ignore[no-untyped-def]
    total = 0.0
    for frame in range(block.first_slot.shape[0]):
        for cell in range(block.cells[frame]):
            total += block.voltage_v[block.voltage_start[frame] + cell] * block.current_a[frame]
    return total


def block(turn: int, packs: int = PACKS, times: int = FRAMES, period_ms: int = PERIOD_MS) -> FrameBlock:
    """A frame of every pack at each of the ``times``, which come after those of the turn before."""
    frames = packs * times
    at = np.repeat(np.arange(times), packs)
    rng = np.random.default_rng(turn)
    volts = 3.6 + 0.3 * np.sin(at / 25 * np.pi)[:, None] + rng.normal(0, 0.01, (frames, CELLS))
    return FrameBlock(
        first_slot=np.tile(np.arange(packs) * CELLS, times).astype(np.int64),
        cells=np.full(frames, CELLS, np.int64),
        t_ms=1_700_000_000_000 + (turn * times + at) * period_ms,
        current_a=np.where((at // 25) % 2 == 0, 1.5, -1.5).astype(np.float32),
        cycle=np.full(frames, turn, np.int32),
        nominal_ah=np.full(frames, 2.0, np.float32),
        capacity_ah=np.full(frames, np.nan, np.float32),
        voltage_start=np.arange(frames, dtype=np.int64) * CELLS,
        voltage_v=volts.astype(np.float32).ravel(),
        temp_start=np.arange(frames, dtype=np.int64) * 4,
        probes=np.full(frames, 4, np.int64),
        temp_degc=np.full(frames * 4, 25.0, np.float32),
    )
