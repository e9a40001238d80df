"""Published predictions as columns, beside the truth and what simple guesses would have said."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model.artifact import Manifest
from model.dataset import cell_ids_of
from model.metrics import last_baseline, linear_baseline, mean_baseline
from model.recording import Recording
from model.schema import Target
from model.truth import labels
from stream.records import Interval, Prediction, RemainingLife

BASELINES = ("last", "linear", "mean")
QUANTILE_NAMES = ("p05", "p50", "p95")

Answer = Interval | RemainingLife | None


def prediction_table(values: Sequence[bytes], recordings: Sequence[Recording], manifest: Manifest) -> pa.Table:
    """One row a prediction, by recording, cell and step.

    ``pack_id, cell, cell_id`` (its name in metrics), ``step, cycle, t_ms, nominal_ah``; for each target
    ``<name>_p05, _p50, _p95, _truth, _last, _linear, _mean`` (SOH as a fraction, capacities in Ah, RUL in cycles; null
    where there is no value, no truth, no opinion); ``p_warranty, flags, partition, offset, model``.
    """
    decode = msgspec.json.Decoder(Prediction).decode
    place = {recording.pack_id: index for index, recording in enumerate(recordings)}
    predictions = [decode(value) for value in values]
    predictions.sort(key=lambda told: (place[told.pack_id], told.cell, told.step))
    cycle = np.array([-1 if told.cycle is None else told.cycle for told in predictions], np.int32)
    owner = np.array([(place[told.pack_id], told.cell) for told in predictions], np.int64).reshape(-1, 2)
    default_ah = manifest.steps.nominal_capacity_ah
    nominal_ah = np.array([recordings[index].nominal_capacity_ah or default_ah for index, _ in owner], np.float32)
    names = [cell_ids_of(recording) for recording in recordings]
    columns: dict[str, pa.Array] = {
        "pack_id": pa.array([told.pack_id for told in predictions], pa.string()),
        "cell": pa.array([told.cell for told in predictions], pa.int32()),
        "cell_id": pa.array([names[index][cell] for index, cell in owner.tolist()], pa.string()),
        "step": pa.array([told.step for told in predictions], pa.int64()),
        "cycle": pa.array([told.cycle for told in predictions], pa.int32()),
        "t_ms": pa.array([told.t_ms for told in predictions], pa.int64()),
        "nominal_ah": pa.array(nominal_ah),
    }
    known = _known(manifest, recordings, owner, cycle)
    for index, target in enumerate(manifest.targets):
        answers = [_answer(told, target) for told in predictions]
        for name in QUANTILE_NAMES:
            quantile = [None if answer is None else getattr(answer, name) for answer in answers]
            columns[f"{target.name}_{name}"] = pa.array(quantile, pa.float64())
        scale = nominal_ah if target.kind == "capacity" else np.float32(1)
        for column, name in enumerate(("truth", *BASELINES)):
            told_by = known[:, index, column] * scale
            columns[f"{target.name}_{name}"] = pa.array(told_by, pa.float32(), from_pandas=True)
    columns["p_warranty"] = pa.array([told.p_warranty for told in predictions], pa.float64())
    columns["flags"] = pa.array([told.flags for told in predictions], pa.list_(pa.string()))
    columns["partition"] = pa.array([told.source.partition for told in predictions], pa.int32())
    columns["offset"] = pa.array([told.source.offset for told in predictions], pa.int64())
    columns["model"] = pa.array([told.model for told in predictions], pa.string())
    return pa.table(columns)


def _answer(told: Prediction, target: Target) -> Answer:
    if target.kind == "soh":
        return told.soh
    if target.kind == "rul":
        return told.rul_cycles
    horizons = told.horizons or ()
    return next((one.capacity_ah for one in horizons if one.cycles == target.horizon_cycles), None)


def _known(
    manifest: Manifest, recordings: Sequence[Recording], owner: NDArray[np.int64], cycle: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Truth and baselines of each row and target: float32 [n, T, 1 + baselines], fractions and cycles, NaN unknown."""
    found = np.full((len(cycle), len(manifest.targets), 1 + len(BASELINES)), np.nan, np.float32)
    cells, which = np.unique(owner, axis=0, return_inverse=True)
    for index, (place, cell) in enumerate(cells.tolist()):
        recording = recordings[place]
        if recording.truth is None:
            continue
        rows = np.flatnonzero(which.ravel() == index)
        measured_at, capacity_ah = recording.truth.of_cell(cell)
        soh = capacity_ah / np.float32(recording.nominal_capacity_ah or manifest.steps.nominal_capacity_ah)
        # Many steps may share a cycle, and a baseline is fitted once for each of these.
        at, back = np.unique(cycle[rows], return_inverse=True)
        values = np.empty((len(at), *found.shape[1:]), np.float32)
        values[:, :, 0] = labels(manifest.targets, at, measured_at, soh, manifest.eol_soh)
        for number, (target, scaling) in enumerate(zip(manifest.targets, manifest.target_scaling, strict=True)):
            values[:, number, 1] = last_baseline(target, at, measured_at, soh)
            values[:, number, 2] = linear_baseline(target, at, measured_at, soh, manifest.eol_soh)
            values[:, number, 3] = mean_baseline(scaling.label_mean, len(at))
        found[rows] = values[back]
    return found
