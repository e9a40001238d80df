"""Raw windows to the network's steps on a GPU in one launch; torch's own way reads and writes them a dozen times."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from model.lstm_cuda import padded
from model.network import CLIP, Scaler

_CLIP = tl.constexpr(CLIP)


class CudaScaler(nn.Module):
    """What a `Scaler` says, in ``dtype``. For inference."""

    def __init__(self, scaler: Scaler, dtype: torch.dtype) -> None:
        super().__init__()
        self.integrates, self.dtype = scaler.integrates, dtype
        for name in ("mean", "std", "integral"):
            self.register_buffer(name, scaler.get_buffer(name), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Raw windows float32 [n, L, C], NaN where nothing is known -> steps [n, L, C + 1 (+ 1)]."""
        windows = windows.contiguous()
        n, length, channels = windows.shape
        features = channels + 1 + self.integrates
        steps = windows.new_empty((n, length, padded(features)), dtype=self.dtype)
        if n:
            _scale[(n,)](
                *(windows, self.get_buffer("mean"), self.get_buffer("std"), self.get_buffer("integral"), steps),
                *(length, channels, triton.next_power_of_2(length), padded(features), self.integrates),
                enable_fp_fusion=True,
            )
        return steps[..., :features]


@triton.jit
def _scale(  # type: ignore[no-untyped-def]
    windows,
    mean,
    std,
    integral,
    steps,
    length: tl.constexpr,
    channels: tl.constexpr,
    padded_length: tl.constexpr,
    width: tl.constexpr,
    integrates: tl.constexpr,
):
    """One window."""
    step = tl.arange(0, padded_length)[:, None]
    column = tl.arange(0, width)[None, :]
    own = column < channels
    source = windows + tl.program_id(0).to(tl.int64) * (length * channels)
    value = tl.load(source + step * channels + column, mask=(step < length) & own, other=float("nan"))
    known = value == value  # noqa: PLR0124 - not NaN
    value = tl.where(known, value, 0.0)
    standard = (value - tl.load(mean + column, mask=own, other=0.0)) / tl.load(std + column, mask=own, other=1.0)
    standard = tl.where(known, tl.minimum(tl.maximum(standard, -_CLIP), _CLIP), 0.0)
    present = tl.max(known.to(tl.int32), 1, keep_dims=True).to(tl.float32)
    scaled = tl.where(column == channels, present, standard)
    if integrates:
        moved = tl.sum(value * tl.load(integral + column, mask=own, other=0.0), 1)
        total = tl.minimum(tl.maximum(tl.cumsum(moved, 0), -_CLIP), _CLIP)
        scaled = tl.where(column == channels + 1, total[:, None], scaled)
    target = steps + tl.program_id(0).to(tl.int64) * (length * width) + step * width + column
    tl.store(target, scaled.to(steps.dtype.element_ty), mask=step < length)
