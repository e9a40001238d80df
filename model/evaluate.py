"""A forecaster over a set of windows: its quantiles, and its errors beside those of the baselines."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from model.artifact import Manifest
from model.dataset import WindowSet
from model.metrics import TargetMetrics, last_baseline, linear_baseline, mean_baseline, score
from model.network import Forecaster
from model.novelty import Novelty

_CHUNK = 64


def predict(
    forecaster: Forecaster, windows: WindowSet, rows: NDArray[np.int64], space: Literal["natural", "network"]
) -> NDArray[np.float32]:
    """Quantiles float32 [k, T, Q] of the windows ``rows`` [k]: published values, or the network's own."""
    device = forecaster.scaler.mean.device
    run = forecaster if space == "natural" else forecaster.network_space
    was_training = forecaster.training
    forecaster.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), _CHUNK):
            chunk = torch.from_numpy(windows.windows(rows[start : start + _CHUNK])).to(device)
            found.append(run(chunk).cpu().numpy())
    forecaster.train(was_training)
    shape = (0, forecaster.network.output_dim, forecaster.network.quantiles)
    return np.concatenate([np.zeros(shape, np.float32), *found])


def scores(novelty: Novelty, windows: WindowSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """How strange the windows ``rows`` [k] are: float32 [k], above 1 out of distribution."""
    chunks = (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
    with torch.inference_mode():
        found = [novelty(torch.from_numpy(windows.windows(chunk))).numpy() for chunk in chunks]
    return np.concatenate([np.zeros(0, np.float32), *found])


def evaluate(
    manifest: Manifest, quantiles: NDArray[np.float32], windows: WindowSet, rows: NDArray[np.int64]
) -> dict[str, JsonValue]:
    """``targets`` and ``baselines`` as in a backtest's metrics, except that capacities are fractions of the nominal.

    quantiles: float32 [k, T, Q], published values for the windows ``rows`` [k]; ``windows.labels`` are in natural
    units.
    """
    names = np.array(windows.cell_ids, object)[windows.cell[rows]].tolist()
    targets: dict[str, JsonValue] = {}
    baselines: dict[str, JsonValue] = {}
    for index, target in enumerate(manifest.targets):
        truth = windows.labels[rows, index]
        targets[target.name] = _json(score(target, names, truth, quantiles[:, index]))
        baselines[target.name] = {
            name: _json(score(target, names, truth, values))
            for name, values in _baselines(manifest, windows, rows, index).items()
        }
    return {"targets": targets, "baselines": baselines}


def _baselines(
    manifest: Manifest, windows: WindowSet, rows: NDArray[np.int64], index: int
) -> dict[str, NDArray[np.float32]]:
    target = manifest.targets[index]
    last, linear = np.full(len(rows), np.nan, np.float32), np.full(len(rows), np.nan, np.float32)
    for number in np.unique(windows.cell[rows]):
        mine = windows.cell[rows] == number
        cell, at_cycle = windows.cells[number], windows.cycle[rows[mine]]
        last[mine] = last_baseline(target, at_cycle, cell.cycle, cell.soh)
        linear[mine] = linear_baseline(target, at_cycle, cell.cycle, cell.soh, manifest.eol_soh)
    mean = mean_baseline(manifest.target_scaling[index].label_mean, len(rows))
    return {"last": last, "linear": linear, "mean": mean}


def _json(metrics: TargetMetrics | None) -> JsonValue:
    return None if metrics is None else metrics.model_dump(mode="json", exclude_none=True)
