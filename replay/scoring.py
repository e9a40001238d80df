"""``metrics.json`` of a backtest: the model and the baselines, scored on the same predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model.artifact import Manifest
from model.metrics import score
from replay.prediction_table import BASELINES, QUANTILE_NAMES


def cell_ids(predictions: pa.Table) -> list[str]:
    """The name of each prediction's cell: ``PACK/CELL``, or its own where it travels alone."""
    names: list[str] = predictions["cell_id"].to_pylist()
    return names


def column(predictions: pa.Table, name: str) -> NDArray[np.float32]:
    """A column of numbers; float32 [n], NaN where there is none."""
    return np.asarray(predictions[name].to_numpy(zero_copy_only=False), np.float32)


def quantiles(predictions: pa.Table, target: str) -> NDArray[np.float32]:
    """A target's predicted quantiles; float32 [n, 3], NaN where there are none."""
    return np.stack([column(predictions, f"{target}_{name}") for name in QUANTILE_NAMES], axis=1)


def metrics(predictions: pa.Table, manifest: Manifest) -> dict[str, Any]:
    """The document of the contract. A target without any known truth is left out.

    A baseline is scored where the model answered too; its ``n`` is smaller where it has no opinion yet.
    """
    ids = cell_ids(predictions)
    targets: dict[str, Any] = {}
    baselines: dict[str, Any] = {}
    for target in manifest.targets:
        truth, predicted = column(predictions, f"{target.name}_truth"), quantiles(predictions, target.name)
        scored = score(target, ids, truth, predicted)
        if scored is None:
            continue
        targets[target.name] = scored.model_dump(exclude_none=True)
        answered = np.where(np.isfinite(predicted).all(axis=1), truth, np.nan).astype(np.float32)
        rivals = {
            name: score(target, ids, answered, column(predictions, f"{target.name}_{name}")) for name in BASELINES
        }
        baselines[target.name] = {
            name: rival.model_dump(exclude_none=True) for name, rival in rivals.items() if rival is not None
        }
    return {
        "schema": 1,
        "model": manifest.model_id,
        "cells": len(set(ids)),
        "predictions": predictions.num_rows,
        "targets": targets,
        "baselines": baselines,
    }
