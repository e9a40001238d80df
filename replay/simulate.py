"""Packs of simulated cells with known truth, written as Parquet: the sample fleet, or as many other packs as asked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from replay.simulated_cell import Array, CellTraits, SimulatedChemistry, SimulatorMissingError
from replay.simulated_duty import Duty
from replay.simulated_fleet import FLEET, ChemistryPlan, PackPlan, drawn_fleet
from replay.simulated_pack import CycleTrace, SimulatedPack

SEED = 20240108
FLEET_START = datetime(2024, 1, 8, 6, tzinfo=UTC)
CELLS = 8
PROBES = 3
VOLTAGE_NOISE_V = 0.0005
CURRENT_NOISE_A = 0.003
TEMP_NOISE_DEGC = 0.05
DAY_S = 86_400.0


def simulate_fleet(plans: Iterable[PackPlan], out: Path, on_cycle: Callable[[str], None]) -> list[Path]:
    """Simulates every pack and writes its two files into ``out``; ``on_cycle`` hears each finished cycle's pack.

    The same plans give the same bytes with the same versions of PyBaMM and pyarrow.
    """
    out.mkdir(parents=True, exist_ok=True)
    chemistries: dict[ChemistryPlan, SimulatedChemistry] = {}
    written = []
    for plan in plans:
        if plan.chemistry not in chemistries:
            chemistries[plan.chemistry] = SimulatedChemistry(
                plan.chemistry.name,
                plan.chemistry.lower_v,
                plan.chemistry.upper_v,
                plan.chemistry.sei_diffusivity_m2_s,
            )
        # The seed depends on the pack's name alone: a pack does not change when another joins the fleet.
        rng = np.random.default_rng([SEED, *plan.pack_id.encode()])
        traces = _simulate_pack(plan, chemistries[plan.chemistry], rng, on_cycle)
        written += [_write_frames(plan, traces, rng, out), _write_truth(plan, traces, out)]
    return written


def _simulate_pack(
    plan: PackPlan, chemistry: SimulatedChemistry, rng: np.random.Generator, on_cycle: Callable[[str], None]
) -> list[CycleTrace]:
    traits = [_traits(plan, cell, rng) for cell in range(CELLS)]
    # The middle of a module is warmer than its ends.
    offsets_degc = 2.0 * np.sin(np.pi * (np.arange(CELLS) + 0.5) / CELLS) + rng.normal(0.0, 0.2, CELLS)
    pack = SimulatedPack(chemistry, traits, offsets_degc, plan.chemistry.nominal_capacity_ah)
    duty = Duty(rng, plan.charge_rate_1_h, plan.discharge_rate_1_h, plan.ambient_degc)
    traces = []
    for number in range(1, plan.cycles + 1):
        traces.append(pack.run(duty.cycle(number)))
        on_cycle(plan.pack_id)
    return traces


def _traits(plan: PackPlan, cell: int, rng: np.random.Generator) -> CellTraits:
    factor = plan.weak_factor if cell == plan.weak_cell else 1.0
    per_ah = 1.0 / (2.0 * plan.chemistry.nominal_capacity_ah)
    sei, negative, positive, contact = np.exp(rng.normal(0.0, plan.spread, 4))
    scales = rng.normal(1.0, 0.004, 3)
    return CellTraits(
        sei_factor=float(plan.wear * factor * sei),
        negative_loss_ah=float(plan.negative_loss * factor * negative * per_ah),
        positive_loss_ah=float(plan.positive_loss * factor * positive * per_ah),
        contact_resistance_ohm=float(plan.chemistry.contact_resistance_ohm * min(factor, 1.5) * contact),
        negative_scale=float(scales[0]),
        positive_scale=float(scales[1]),
        lithium_scale=float(scales[2]),
    )


def _write_frames(plan: PackPlan, traces: list[CycleTrace], rng: np.random.Generator, out: Path) -> Path:
    """Writes what the BMS of the pack would have logged: noisy, in steps of 1 mV, 10 mA and 0.1 degC."""
    voltage_v = np.concatenate([trace.voltage_v for trace in traces])
    current_a = np.concatenate([trace.current_a for trace in traces])
    temp_degc = np.concatenate([trace.temp_degc for trace in traces])
    probe = np.arange(CELLS) * PROBES // CELLS
    probe_degc = np.stack([temp_degc[:, probe == one].mean(axis=1) for one in range(PROBES)], axis=1)
    time_s = np.concatenate([trace.time_s for trace in traces]) + plan.start_day * DAY_S
    frames = len(time_s)
    table = pa.table(
        {
            "pack_id": pa.array([plan.pack_id] * frames).dictionary_encode(),
            "t_ms": pa.array(np.round(time_s * 1000).astype(np.int64) + round(FLEET_START.timestamp() * 1000)),
            "cycle": pa.array(
                np.repeat(np.arange(1, len(traces) + 1), [len(t.time_s) for t in traces]).astype(np.int32)
            ),
            "current_a": pa.array(_seen(current_a, CURRENT_NOISE_A, 2, rng)),
            "voltage_v": _lists(_seen(voltage_v, VOLTAGE_NOISE_V, 3, rng)),
            "temp_degc": _lists(_seen(probe_degc, TEMP_NOISE_DEGC, 1, rng)),
        }
    )
    facts = {
        "kind": "pack",
        "chemistry": plan.chemistry.name.upper(),
        "nominal_capacity_ah": str(plan.chemistry.nominal_capacity_ah),
    }
    path = out / f"{plan.pack_id}.parquet"
    pq.write_table(
        table.replace_schema_metadata(facts),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=["pack_id", "cycle", "current_a", "voltage_v.list.element", "temp_degc.list.element"],
        column_encoding={"t_ms": "DELTA_BINARY_PACKED"},
    )
    return path


def _write_truth(plan: PackPlan, traces: list[CycleTrace], out: Path) -> Path:
    cycles = len(traces)
    capacity_ah = np.stack([trace.capacity_ah for trace in traces], axis=1)
    table = pa.table(
        {
            "cell": pa.array(np.repeat(np.arange(CELLS, dtype=np.int32), cycles)),
            "cycle": pa.array(np.tile(np.arange(1, cycles + 1, dtype=np.int32), CELLS)),
            "capacity_ah": pa.array(np.round(capacity_ah.reshape(-1), 4).astype(np.float32)),
        }
    )
    path = out / f"{plan.pack_id}.truth.parquet"
    pq.write_table(table, path, compression="zstd", compression_level=19)
    return path


def _seen(
    exact: Array, noise: float, decimals: int, rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    noisy = exact + rng.normal(0.0, noise, exact.shape)
    # Adding zero turns a negative zero into a positive one.
    return (np.round(noisy, decimals) + 0.0).astype(np.float32)


def _lists(rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def main(arguments: list[str] | None = None) -> int:
    """Writes the fleet; 0 when done, 1 when PyBaMM is missing."""
    parser = argparse.ArgumentParser(prog="python -m replay.simulate", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for the Parquet files; of the sample fleet replay/samples")
    parser.add_argument(
        "--packs",
        type=int,
        metavar="N",
        help="instead of the sample fleet, N packs to train on, none of them in it: drawn, always the same",
    )
    asked = parser.parse_args(arguments)
    if asked.packs is not None and asked.packs < 1:
        parser.error(f"--packs: {asked.packs} packs are none: ask for 1 or more")
    if asked.packs is not None and asked.out is None:
        parser.error("--out: drawn packs do not go among the samples: say which folder is theirs")
    out: Path = asked.out or Path("replay/samples")
    fleet = FLEET if asked.packs is None else drawn_fleet(asked.packs)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("cycles"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    try:
        with Progress(*columns, transient=True) as progress:
            bar = progress.add_task("fleet", total=sum(plan.cycles for plan in fleet))
            written = simulate_fleet(fleet, out, lambda pack_id: progress.update(bar, advance=1, description=pack_id))
    except SimulatorMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    megabytes = sum(path.stat().st_size for path in written) / 1e6
    sys.stdout.write(f"{len(written)} files, {megabytes:.1f} MB in {out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
