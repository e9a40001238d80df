"""Made-up telemetry: blocks for the kernels, records for the stream, and an untrained model to answer them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact import Artifact, ChannelScaling, Manifest, TargetScaling, build, load, save
from model.block import FrameBlock
from model.predictor import Predictor
from model.schema import CycleSteps, SampleSteps, Target
from model.steps import StepState, new_cursor
from model.windows import WindowBatch
from stream.seams import Record

T0_MS = 1_700_000_000_000
SOH = (Target(kind="soh"),)
ALL_TARGETS = (Target(kind="soh"), Target(kind="capacity", horizon_cycles=50), Target(kind="rul"))


def block(
    t_ms: Sequence[int] | NDArray[np.int64],
    current_a: Sequence[float] | NDArray[np.float32],
    voltage_v: Any,
    *,
    cycle: Sequence[int] | None = None,
    temp_degc: Any = None,
    nominal_ah: float = 2.0,
    first_slot: int = 0,
) -> FrameBlock:
    """Frames of one pack: t_ms and current_a [f], voltage_v [f, cells], temp_degc [f, probes]."""
    volts = np.array(voltage_v, np.float32)
    volts = volts.reshape(len(t_ms), -1)
    frames, cells = volts.shape
    temps = np.zeros((frames, 0), np.float32) if temp_degc is None else np.array(temp_degc, np.float32)
    temps = temps.reshape(frames, -1)
    return FrameBlock(
        first_slot=np.full(frames, first_slot, np.int64),
        cells=np.full(frames, cells, np.int64),
        t_ms=np.array(t_ms, np.int64),
        current_a=np.array(current_a, np.float32),
        cycle=np.full(frames, -1, np.int32) if cycle is None else np.array(cycle, np.int32),
        nominal_ah=np.full(frames, nominal_ah, np.float32),
        capacity_ah=np.full(frames, np.nan, np.float32),
        voltage_start=np.arange(frames, dtype=np.int64) * cells,
        voltage_v=volts.ravel(),
        temp_start=np.arange(frames, dtype=np.int64) * temps.shape[1],
        probes=np.full(frames, temps.shape[1], np.int64),
        temp_degc=temps.ravel(),
    )


def fed(state: StepState, frames: FrameBlock, capacity: int = 4096) -> WindowBatch:
    """All windows that become due as ``frames`` run through ``state``, however often the room of ``capacity`` ends."""
    steps = state.steps
    out = WindowBatch.empty(capacity, steps.window, len(steps.channels))
    cursor, pieces = new_cursor(), []
    while cursor[0] < frames.frames:
        filled = state.update(frames, cursor, out, 0)
        pieces.append([column[:filled].copy() for column in out])
    empty = [column[:0] for column in out]
    return WindowBatch(*(np.concatenate(columns) for columns in zip(empty, *pieces, strict=True)))


def duty(
    frames: int, cells: int, seed: int, *, frames_a_cycle: int = 40, period_s: int = 60
) -> dict[str, NDArray[Any]]:
    """A made-up duty: constant current in and out, voltage that follows, a little noise. Columns by name."""
    rng = np.random.default_rng(seed)
    index = np.arange(frames)
    phase = index % frames_a_cycle / frames_a_cycle
    soc = np.where(phase < 0.5, phase * 2, 2 - phase * 2)
    fade = 1 - 0.002 * (index // frames_a_cycle)
    volts = 3.2 + 0.8 * soc[:, None] * fade[:, None] + rng.normal(0, 0.002, (frames, cells))
    return {
        "t_ms": T0_MS + index * period_s * 1000 + rng.integers(0, 500, frames),
        "current_a": np.where(phase < 0.5, 1.9, -1.9).astype(np.float32).round(2),
        "voltage_v": volts.astype(np.float32).round(3),
        "temp_degc": rng.normal(25, 0.5, (frames, 2)).astype(np.float32).round(1),
        "cycle": (index // frames_a_cycle).astype(np.int32),
    }


def records(
    packs: Iterable[str], frames: int, cells: int, *, seed: int = 0, start: int = 0, nominal_ah: float = 2.0
) -> list[Record]:
    """Pack frames of several packs, interleaved in event time, as records from offset ``start`` on."""
    columns = {pack: duty(frames, cells, seed + at) for at, pack in enumerate(packs)}
    values = [
        (
            pack,
            {
                "v": 1,
                "kind": "pack",
                "pack_id": pack,
                "t_ms": int(duty_of["t_ms"][at]),
                "current_a": round(float(duty_of["current_a"][at]), 3),
                "voltage_v": [round(float(v), 3) for v in duty_of["voltage_v"][at]],
                "temp_degc": [round(float(t), 1) for t in duty_of["temp_degc"][at]],
                "cycle": int(duty_of["cycle"][at]),
                "nominal_capacity_ah": nominal_ah,
            },
        )
        for at in range(frames)
        for pack, duty_of in columns.items()
    ]
    return [
        Record(start + offset, T0_MS + 10**10, pack.encode(), json.dumps(value).encode())
        for offset, (pack, value) in enumerate(values)
    ]


def manifest(steps: SampleSteps | CycleSteps, targets: tuple[Target, ...] = ALL_TARGETS) -> Manifest:
    """The manifest of a small untrained model."""
    scaling = tuple(ChannelScaling(mean=0.0, std=10.0) for _ in steps.channels)
    of_targets = tuple(TargetScaling(mean=1.0, std=0.1, label_mean=1.0) for _ in targets)
    return Manifest(
        name="untrained",
        steps=steps,
        channels=steps.channels,
        window=steps.window,
        channel_scaling=scaling,
        targets=targets,
        target_scaling=of_targets,
        network={"hidden_dim": 8, "num_layers": 1},
    )


def artifact(
    folder: Path, steps: SampleSteps | CycleSteps, targets: tuple[Target, ...] = ALL_TARGETS, *, seed: int = 7
) -> Artifact:
    """A small untrained model, saved in ``folder`` and loaded again. Its answers are arbitrary, and always the same."""
    described = manifest(steps, targets)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        forecaster = build(described)
    save(folder, described, forecaster.network.state_dict(), "An untrained model for tests.")
    return load(folder)


def predictor(folder: Path, steps: SampleSteps | CycleSteps) -> tuple[Predictor, Manifest]:
    """The predictor of `artifact`, on the CPU in fp32."""
    loaded = artifact(folder, steps)
    return Predictor(loaded, "cpu", "fp32"), loaded.manifest
