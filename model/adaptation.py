"""Fine-tuning: the weights and scalers of one artifact as the start of another, for cells of one's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.artifact import Manifest, Parent, TargetScaling
from model.dataset import WindowSet
from model.schema import StepKind
from model.training_config import Training, TrainingConfigError

_LR = 1e-4  # a tenth of what a new model begins with: what the parent knows is to be moved, not washed out


def adapted(config: Training, parent: Manifest) -> Training:
    """The configuration of a run that starts from ``parent``.

    What the configuration leaves open is the parent's, and the learning rate a tenth of a new model's. What it says of
    steps, targets, end of life and the network must be what the parent has: `TrainingConfigError` says where it is not.
    """
    network = parent.network
    inherited: dict[str, object] = {
        "targets": parent.targets,
        "eol_soh": parent.eol_soh,
        "hidden": network.hidden_dim,
        "layers": network.num_layers,
        "skip": network.skip,
        "integrate": network.integrate,
    }
    if "steps" not in config.model_fields_set:
        inherited["steps"] = parent.steps
    elif config.steps.fingerprint != parent.steps.fingerprint:
        raise _refusal("steps", _differing(config.steps, parent.steps), parent)
    for key, theirs in inherited.items():
        if key in config.model_fields_set and (ours := getattr(config, key)) != theirs:
            raise _refusal(key, f"{_shown(ours)} here, {_shown(theirs)} there", parent)
    free: dict[str, object] = {"lr": _LR, "name": f"{parent.name}-adapted"}
    inherited |= {key: value for key, value in free.items() if key not in config.model_fields_set}
    return config.model_copy(update=inherited)


def learned_from(parent: Manifest) -> frozenset[str]:
    """Fingerprints of the recordings that the parent, or what it started from, learned from, stopped or calibrated on.

    Of them nothing can be validated, calibrated or tested any more.
    """
    own = {cell.sha256 for cell in parent.data if cell.role != "test"}
    return frozenset(own.union(parent.parent.recordings if parent.parent else ()))


def descent(parent: Manifest) -> Parent:
    """What the new artifact says of where it started."""
    return Parent(name=parent.name, sha256=parent.sha256, recordings=tuple(sorted(learned_from(parent))))


def inherited_scaling(windows: WindowSet, train_rows: NDArray[np.int64], parent: Manifest) -> tuple[TargetScaling, ...]:
    """The parent's scaling of targets, which its weights rely on, beside the mean labels of one's own training cells.

    A target that these have no label of keeps the parent's interval.
    """
    found = []
    for index, scale in enumerate(parent.target_scaling):
        label = windows.labels[train_rows, index]
        label = label[np.isfinite(label)]
        update = {"label_mean": float(label.mean())} if len(label) else {}
        found.append(scale.model_copy(update=update | {"calibration_cells": 0, "offset_is_guess": True}))
    return tuple(found)


def _differing(ours: StepKind, theirs: StepKind) -> str:
    if type(ours) is not type(theirs):
        return f"kind {ours.kind!r} here, {theirs.kind!r} there"
    fields = type(ours).model_fields
    keys = [key for key in fields if getattr(ours, key) != getattr(theirs, key) and key != "nominal_capacity_ah"]
    return ", ".join(f"{key} {getattr(ours, key)} here, {getattr(theirs, key)} there" for key in keys)


def _shown(value: object) -> object:
    return ", ".join(target.name for target in value) if isinstance(value, tuple) else value


def _refusal(key: str, difference: str, parent: Manifest) -> TrainingConfigError:
    return TrainingConfigError(
        f"{key}: {difference}: what starts from {parent.model_id} must have its steps, targets and network; "
        f"leave {key} out, or train without --from"
    )
