"""The artifact `cycle`, but asked from a cell's first cycle on: in a short load the model works as in a long one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from model.artifact import load, save, tensors_of


def eager() -> Path:
    """Its folder, which is there until the process ends."""
    return Path(_folder().name)


@cache
def _folder() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory()
    artifact = load("cycle")
    steps = artifact.manifest.steps.model_copy(update={"min_cycles": 1})
    manifest = artifact.manifest.model_copy(update={"steps": steps})
    save(Path(folder.name), manifest, tensors_of(artifact.forecaster, artifact.novelty), "Made for benchmarks.")
    return folder
