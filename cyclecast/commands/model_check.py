"""Checks of the model's settings before anything is started, so that a wrong one is told at once and by its name."""
# ruff: noqa: PLC0415 - torch is imported only where a setting needs it

from __future__ import annotations

from pathlib import Path

from stream.errors import ConfigurationError
from stream.settings import ModelSettings

BUILT_IN = ("cycle", "sample")


def known_artifact(path: str, key: str) -> None:
    """Raises `ConfigurationError` where ``path`` is neither a built-in artifact nor a folder."""
    if path not in BUILT_IN and not Path(path).is_dir():
        names = ", ".join(BUILT_IN)
        raise ConfigurationError(
            f"{key} = {path!r}: no such folder; give one that `cyclecast train` wrote, or a built-in name ({names})"
        )


def usable_model(settings: ModelSettings) -> None:
    """Raises `ConfigurationError` where the artifact, the device or the precision cannot be had on this machine."""
    known_artifact(settings.path, "model.path")
    if settings.device == "cpu":
        on_cuda = False
    elif settings.device == "cuda" or settings.precision == "fp16":
        import torch

        on_cuda = torch.cuda.is_available()
    else:
        return
    if settings.device == "cuda" and not on_cuda:
        raise ConfigurationError("model.device = 'cuda': torch finds no CUDA device; `cyclecast doctor` says why")
    if settings.precision == "fp16" and not on_cuda:
        raise ConfigurationError("model.precision = 'fp16' needs a CUDA device; on a CPU use auto, fp32 or bf16")
