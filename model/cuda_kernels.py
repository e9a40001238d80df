"""The kernels for a GPU in the places of torch's modules, where they can run."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import nn

from model.network import Forecaster
from model.novelty import Novelty

LEAST_CAPABILITY = (8, 0)


@lru_cache
def missing(device: torch.device) -> str:
    """What keeps the kernels from running there, in words; empty where nothing does."""
    if find_spec("triton") is None:
        return "there is no Triton, which comes with torch for CUDA on Linux"
    capability = torch.cuda.get_device_capability(device)
    if capability < LEAST_CAPABILITY:
        return "the GPU's compute capability is {}.{}, and 8.0 is the least".format(*capability)
    from triton.runtime import driver  # noqa: PLC0415 - may be missing

    try:
        driver.active.get_current_target()
    except Exception as error:  # noqa: BLE001 - whatever it is, torch computes as well
        return f"Triton needs a C compiler and the headers of Python to start a kernel: {error!r}"
    return ""


def fuse(forecaster: Forecaster, weights: torch.dtype) -> nn.Module | None:
    """Puts a kernel in the scaler's place, and returns one for the LSTM's; nothing where it has too many units."""
    from model.lstm_cuda import MOST_HIDDEN, CudaLstm  # noqa: PLC0415 - needs Triton
    from model.scaler_cuda import CudaScaler  # noqa: PLC0415

    if forecaster.network.lstm.hidden_size > MOST_HIDDEN:
        return None
    forecaster.register_module("scaler", CudaScaler(forecaster.scaler, weights))
    return CudaLstm(forecaster.network.lstm, weights)


def telling(novelty: Novelty) -> Novelty:
    """What says the same by a kernel."""
    from model.novelty_cuda import CudaNovelty  # noqa: PLC0415 - needs Triton

    return CudaNovelty(novelty)
