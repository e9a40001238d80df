"""What is known of a model before it is trained: a manifest whose scalers saw the training cells and nothing else."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.adaptation import descent, inherited_scaling
from model.artifact import CellData, Manifest, NetworkShape
from model.dataset import WindowSet
from model.scaling import fit_channels, fit_targets
from model.schema import QUANTILES
from model.training_config import Role, Training

_LIBRARIES = ("cyclecast", "torch", "numpy", "numba", "safetensors")


class TrainingError(Exception):
    """Training cannot go on; the message says what to change."""


def rows_of(windows: WindowSet, roles: Mapping[str, Role], role: Role) -> NDArray[np.int64]:
    """The rows of a role's cells that have any label."""
    rows = windows.of_cells(cell_id for cell_id, its_role in roles.items() if its_role == role)
    return rows[np.isfinite(windows.labels[rows]).any(1)]


def untrained(
    config: Training, windows: WindowSet, roles: Mapping[str, Role], parent: Manifest | None = None
) -> Manifest:
    """The manifest of the run's model, without weights' hash, intervals or metrics; with the scalers of its parent.

    Raises `TrainingError` where a role has nothing to do, `TrainingConfigError` where a target is never known.
    """
    for role in ("train", "validation", "calibration"):
        if not len(rows_of(windows, roles, role)):
            raise TrainingError(f"no {role} cell has a window with a label: give recordings with measured capacities")
    train_cells = [cell_id for cell_id, role in roles.items() if role == "train"]
    train_rows = rows_of(windows, roles, "train")
    return Manifest(
        name=config.name,
        steps=config.steps,
        channels=config.steps.channels,
        window=config.steps.window,
        channel_scaling=parent.channel_scaling if parent else fit_channels(windows, train_cells),
        targets=config.targets,
        quantiles=parent.quantiles if parent else QUANTILES,
        target_scaling=inherited_scaling(windows, train_rows, parent)
        if parent
        else fit_targets(windows, train_rows, config.targets),
        eol_soh=config.eol_soh,
        network=NetworkShape(
            hidden_dim=config.hidden, num_layers=config.layers, skip=config.skip, integrate=config.integrate
        ),
        data=tuple(
            CellData(cell_id=cell.cell_id, role=roles[cell.cell_id], source=_short(cell.source), sha256=cell.sha256)
            for cell in windows.cells
        ),
        parent=descent(parent) if parent else None,
        versions=_versions(),
        seed=config.seed,
    )


def _short(source: str) -> str:
    """A file and its folder: enough to recognise it, nothing about the machine that trained."""
    return "/".join(Path(source).parts[-2:])


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # run from a checkout
            found[name] = importlib.metadata.version(name)
    return found
