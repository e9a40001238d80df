"""What a training run would do, found out by preparing it and timing a few steps; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.artifact import Artifact, Manifest
from model.batches import epoch_pieces
from model.prepare import rows_of
from model.ranks import joined
from model.recording import Recording
from model.train import TrainingRun
from model.training_config import Role, Training

ROLES: tuple[Role, ...] = ("train", "validation", "calibration", "test")
_REHEARSED = 5  # steps of the optimiser: enough to tell minutes from hours


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it runs. ``cells`` and ``windows`` by role; of these, ``labels`` by role and target.

    ``steps`` of the optimiser an epoch, ``window_s`` seconds that a training window takes here, ``validation_s`` those
    that an epoch spends on the validation cells.
    """

    config: Training
    manifest: Manifest
    device: str
    parameters: int
    cells: dict[Role, list[str]]
    windows: dict[Role, int]
    labels: dict[Role, dict[str, int]]
    epoch_windows: int
    steps: int
    window_s: float
    validation_s: float

    @property
    def seconds(self) -> float:
        """What all epochs take; training stops earlier where the patience ends."""
        return self.config.epochs * (self.epoch_windows * self.window_s + self.validation_s)


def plan(
    recordings: Iterable[Recording], config: Training, *, parent: Artifact | None = None, device: str = "auto"
) -> Plan:
    """Prepares the run that `train` would make, and times some of it. Refuses what `train` refuses."""
    with joined(device) as ranks:
        run = TrainingRun.of(recordings, config, ranks, Path(), parent)
        windows, targets = run.windows, config.targets
        pieces = epoch_pieces(run.scaled, run.taught, config, 0)
        window_s, validation_s = run.rehearse(_REHEARSED)
        rows = {role: rows_of(windows, run.roles, role) for role in ROLES}
        return Plan(
            config=config,
            manifest=run.manifest,
            device=str(ranks.device),
            parameters=sum(tensor.numel() for tensor in run.forecaster.parameters()),
            cells={role: [cell for cell, its in run.roles.items() if its == role] for role in ROLES},
            windows={role: len(rows[role]) for role in ROLES},
            labels={
                role: {
                    target.name: int(np.isfinite(windows.labels[rows[role], index]).sum())
                    for index, target in enumerate(targets)
                }
                for role in ROLES
            },
            epoch_windows=sum(len(piece.rows) for piece in pieces),
            steps=sum(piece.last for piece in pieces),
            window_s=window_s,
            validation_s=validation_s,
        )
