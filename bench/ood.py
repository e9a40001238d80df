"""``python -m bench.ood [MODEL...]``: how often a model calls windows out of distribution that are, and that are not.

On its own test cells as they are, which should pass; on the same with a fault from the middle of the recording on; and
on recorded batteries of other kinds. Rates are averaged over cells; beside them is the error of the SOH, where known.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import replay
from model.artifact import Artifact, load
from model.dataset import WindowSet, windows_of
from model.evaluate import predict
from model.predictor import Predictor
from model.recording import Recording
from replay.readers import iter_recordings

SAMPLES = Path(replay.__file__).parent / "samples"
DATA = Path(os.environ.get("CYCLECAST_DATA", Path(__file__).parents[2] / "shared" / "data"))
FOREIGN = {
    "CALCE CS2: LCO, prismatic, 1.1 Ah": "calce_cs2",
    "A123: LFP, 2.5 Ah, two charges of each cell": "a123_lfp71",
    "Nissan Leaf: LMO/NCA, 96 cells in a car": "leaf_bms",
}
_ROUNDS = 50


def _voltage(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Callable[[Recording, int], Recording]:
    return lambda cell, at: replace(cell, voltage_v=_after(cell.voltage_v, at, change))


def _temp(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Callable[[Recording, int], Recording]:
    return lambda cell, at: replace(cell, temp_degc=_after(cell.temp_degc, at, change))


def _current(change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Callable[[Recording, int], Recording]:
    return lambda cell, at: replace(cell, current_a=_after(cell.current_a, at, change))


def _stuck(reading: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.broadcast_to(reading[:1], reading.shape)


FAULTS: dict[str, Callable[[Recording, int], Recording]] = {
    "voltage stuck": _voltage(_stuck),
    "voltage +50 mV": _voltage(lambda v: v + np.float32(0.05)),
    "voltage +200 mV": _voltage(lambda v: v + np.float32(0.2)),
    "voltage taps of neighbours swapped": _voltage(lambda v: np.roll(v, 1, axis=1)),
    "temperature stuck": _temp(_stuck),
    "temperature probe off: shows the room, 22 degC": _temp(lambda t: np.full_like(t, 22.0)),
    "temperature +10 degC": _temp(lambda t: t + np.float32(10)),
    "temperature +25 degC": _temp(lambda t: t + np.float32(25)),
    "temperature -25 degC": _temp(lambda t: t - np.float32(25)),
    "current sensor +10 %": _current(lambda i: i * np.float32(1.1)),
    "current sensor -50 %": _current(lambda i: i * np.float32(0.5)),
    "current of the wrong sign": _current(lambda i: -i),
}


class Row(NamedTuple):
    """Windows of so many cells, how many of them are called strange, and the SOH's error on those that pass or not."""

    what: str
    cells: int
    windows: int
    flagged: float
    mae_passed: float
    mae_flagged: float

    def __str__(self) -> str:
        shares = (f"{100 * share:.1f}" if np.isfinite(share) else "-" for share in self[3:])
        return f"| {self.what} | {self.cells} | {self.windows} | {' | '.join(shares)} |"


def rows(artifact: Artifact, own: list[Recording], foreign: Iterable[tuple[str, list[Recording]]]) -> Iterator[Row]:
    """The table of one model: of its ``own`` recordings the test cells count, of ``foreign`` ones, by name, all."""
    chosen = {cell.cell_id for cell in artifact.manifest.data if cell.role == "test"}
    yield _row(artifact, "its test cells, as they are", own, keep=chosen)
    middle = {cell.pack_id: cell.frames // 2 for cell in own}
    yield _row(artifact, "the same, later half", own, keep=chosen, after=middle)
    for what, fault in FAULTS.items():
        cells = [cell for cell in own if "neighbours" not in what or cell.cells > 1]
        broken = [fault(cell, middle[cell.pack_id]) for cell in cells]
        yield _row(artifact, what, broken, keep=chosen, after=middle)
    for what, recordings in foreign:
        yield _row(artifact, what, recordings)


def cost(artifact: Artifact) -> float:
    """What telling takes of what predicting takes, in turns, batches of 64 on one CPU thread."""
    manifest = artifact.manifest
    predictor = Predictor(artifact, "cpu", "fp32")
    windows = np.random.default_rng(0).normal(0, 1, (64, manifest.window, len(manifest.channels))).astype(np.float32)
    took = np.zeros((_ROUNDS, 2))
    for number in range(_ROUNDS):
        began = time.thread_time()
        predictor.predict(windows, len(windows))
        predicted = time.thread_time()
        predictor.strange(windows, len(windows))
        took[number] = predicted - began, time.thread_time() - predicted
    typical = np.median(took, 0)
    return float(typical[1] / typical[0])


def _after(
    reading: NDArray[np.float32], at: int, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    return np.concatenate([reading[:at], change(reading[at:])]).astype(np.float32)


def own_recordings(artifact: Artifact) -> list[Recording]:
    """Those that the artifact's test cells are in, as far as they are here."""
    packs = {cell.cell_id.split("/")[0] for cell in artifact.manifest.data if cell.role == "test"}
    folders = [folder for folder in (SAMPLES, DATA / "nasa_pcoe") if folder.is_dir()]
    return [recording for recording in iter_recordings(folders) if recording.pack_id in packs]


def _row(
    artifact: Artifact,
    what: str,
    recordings: list[Recording],
    keep: set[str] | None = None,
    after: dict[str, int] | None = None,
) -> Row:
    """Counts the windows of the cells to ``keep``; with ``after`` those whose every step is later than that frame."""
    manifest = artifact.manifest
    windows = windows_of(recordings, manifest.steps, manifest.targets, manifest.eol_soh)
    chosen = windows.of_cells(keep if keep is not None else windows.cell_ids)
    if after is not None:
        broke = {r.pack_id: int(r.cycle[after[r.pack_id]]) for r in recordings}
        since = np.array([broke[cell_id.split("/")[0]] for cell_id in windows.cell_ids])
        chosen = chosen[windows.cycle[chosen] > since[windows.cell[chosen]] + 1]
    strange = _strange(artifact, windows, chosen)
    cell = windows.cell[chosen]
    error = _soh_error(artifact, windows, chosen)
    return Row(
        what,
        cells=len(np.unique(cell)),
        windows=len(chosen),
        flagged=float(np.mean([strange[cell == one].mean() for one in np.unique(cell)])) if len(cell) else np.nan,
        mae_passed=_mean(error[~strange]),
        mae_flagged=_mean(error[strange]),
    )


def _strange(artifact: Artifact, windows: WindowSet, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
    predictor = Predictor(artifact, "cpu", "fp32")
    parts = np.split(chosen, range(1024, len(chosen), 1024))
    return np.concatenate([predictor.strange(windows.windows(part), len(part)) for part in parts])


def _soh_error(artifact: Artifact, windows: WindowSet, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    index = artifact.manifest.target_index("soh")
    if index is None:
        return np.full(len(chosen), np.nan, np.float32)
    found = predict(artifact.forecaster, windows, chosen, "natural")[:, index]
    error: NDArray[np.float32] = np.abs(found[:, found.shape[1] // 2] - windows.labels[chosen, index])
    return error


def _mean(values: NDArray[np.float32]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def main() -> None:
    """Prints a table for each model; by default the built-in ones."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ["cycle", "sample"]:
        artifact = load(name)
        print(f"\n{artifact.model_id}: telling takes {100 * cost(artifact):.1f} % of what predicting takes\n")
        print(
            "| windows of | cells | windows | out of distribution, % "
            "| mean SOH error of those that pass, % | of those that do not, % |"
        )
        print("|---|---|---|---|---|---|")
        foreign = (
            (what, list(iter_recordings([DATA / folder])))
            for what, folder in FOREIGN.items()
            if (DATA / folder).is_dir()
        )
        for row in rows(artifact, own_recordings(artifact), foreign):
            print(row, flush=True)


if __name__ == "__main__":
    main()
