"""Checks of the model's settings before anything is started, so that a wrong one is told at once and by its name."""
# ruff: noqa: PLC0415 - torch is imported only where a setting needs it

from __future__ import annotations

import re
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


def usable_device(device: str, key: str) -> None:
    """Raises `ConfigurationError` where ``device`` is not one, or is a GPU that is not there."""
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", device) is None:
        raise ConfigurationError(f"{key} = {device!r}: give auto, cpu, cuda, or cuda:N")
    if device.startswith("cuda"):
        import torch

        index = int(device.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise ConfigurationError(f"{key} = {device!r}: torch finds no such GPU; `cyclecast doctor` says why")


def usable_model(settings: ModelSettings) -> None:
    """Raises `ConfigurationError` where the artifact, the device or the precision cannot be had on this machine."""
    known_artifact(settings.path, "model.path")
    usable_device(settings.device, "model.device")
    if settings.precision == "fp16" and settings.device != "cuda":
        import torch

        if settings.device == "cpu" or not torch.cuda.is_available():
            raise ConfigurationError("model.precision = 'fp16' needs a CUDA device; on a CPU use auto, fp32 or bf16")
