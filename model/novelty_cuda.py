"""What tells a window of samples on a GPU, in one launch; torch's own way reads the windows some thirty times."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from model.novelty import Novelty
from model.schema import SampleSteps

_TINY, _LEAST_JUMP = tl.constexpr(1e-6), tl.constexpr(1e-5)
_LOG10_OF_2 = tl.constexpr(0.3010299956639812)


class CudaNovelty(Novelty):
    """What a `Novelty` says."""

    def __init__(self, novelty: Novelty) -> None:
        super().__init__(novelty.steps, len(novelty.limit))
        self.load_state_dict(novelty.state_dict())

    def told(self, windows: Tensor) -> Tensor:
        """The numbers that tell windows, as `model.novelty.summary` says: [n, F]."""
        if not isinstance(self.steps, SampleSteps):
            return super().told(windows)
        windows = windows.contiguous()
        n, length, channels = windows.shape
        numbers = windows.new_empty((n, len(self.mean)))
        if n:
            _summarise[(n,)](
                *(windows, numbers, length, channels, len(self.mean)),
                *(triton.next_power_of_2(length), triton.next_power_of_2(channels)),
                enable_fp_fusion=True,
            )
        return numbers


@triton.jit
def _summarise(  # type: ignore[no-untyped-def]
    windows,
    numbers,
    length: tl.constexpr,
    channels: tl.constexpr,
    size: tl.constexpr,
    padded_length: tl.constexpr,
    width: tl.constexpr,
):
    """One window."""
    at = tl.arange(0, padded_length)
    column = tl.arange(0, width)
    step, channel = at[:, None], column[None, :]
    own = channel < channels
    source = windows + tl.program_id(0).to(tl.int64) * (length * channels) + step * channels + channel
    value = tl.load(source, mask=own & (step < length), other=0.0)
    second = tl.load(source + channels, mask=own & (step < length - 1), other=0.0)
    third = tl.load(source + 2 * channels, mask=own & (step < length - 2), other=0.0)

    mean = tl.sum(value, 0) / length
    still = tl.where(step < length, value - mean[None, :], 0.0)
    std = tl.sqrt(tl.sum(still * still, 0) / length)
    # A least and a most know no NaN; a mean does.
    low = tl.where(mean == mean, tl.min(tl.where(step < length, value, float("inf")), 0), mean)  # noqa: PLR0124
    high = tl.where(mean == mean, tl.max(tl.where(step < length, value, float("-inf")), 0), mean)  # noqa: PLR0124
    newest = tl.sum(tl.where(step == length - 1, value, 0.0), 0)
    moved = tl.where(step < length - 1, second - value, 0.0)
    turned = tl.where(step < length - 2, (third - second) - (second - value), 0.0)
    jump = tl.sum(tl.abs(moved), 0) / (length - 1) + _LEAST_JUMP
    turn = tl.sum(tl.abs(turned), 0) / (length - 2) + _LEAST_JUMP

    voltage, current = _line(still, 0, channel), _line(still, 1, channel)
    spread = _number(std, 0, column) * _number(std, 1, column)
    follows = tl.sum(voltage * current, 0) / length / (spread + _TINY)
    steps_follow = _correlation(_line(moved, 0, channel), _line(moved, 1, channel), at, length - 1)
    current = _line(value, 1, channel)
    heats = _correlation(_line(value, 2, channel), current * current, at, length)

    target = numbers + tl.program_id(0).to(tl.int64) * size
    known = column < channels
    tl.store(target + column, mean, mask=known)
    tl.store(target + channels + column, std, mask=known)
    tl.store(target + 2 * channels + column, low, mask=known)
    tl.store(target + 3 * channels + column, high, mask=known)
    tl.store(target + 4 * channels + column, newest, mask=known)
    tl.store(target + 5 * channels + column, tl.log2(jump) * _LOG10_OF_2, mask=known)
    tl.store(target + 6 * channels + column, tl.log2(turn) * _LOG10_OF_2, mask=known)
    tl.store(target + 7 * channels, follows)
    tl.store(target + 7 * channels + 1, steps_follow)
    tl.store(target + 7 * channels + 2, heats)


@triton.jit
def _line(values, index: tl.constexpr, channel):  # type: ignore[no-untyped-def]
    """A channel of all steps: [length]."""
    return tl.sum(tl.where(channel == index, values, 0.0), 1)


@triton.jit
def _number(values, index: tl.constexpr, column):  # type: ignore[no-untyped-def]
    """A channel's number."""
    return tl.sum(tl.where(column == index, values, 0.0), 0)


@triton.jit
def _correlation(a, b, at, count: tl.constexpr):  # type: ignore[no-untyped-def]
    """Pearson's, of the first ``count``; about 0 where one does not move."""
    a = tl.where(at < count, a - tl.sum(a, 0) / count, 0.0)
    b = tl.where(at < count, b - tl.sum(b, 0) / count, 0.0)
    together = tl.sum(a * b, 0) / count
    return together / (tl.sqrt((tl.sum(a * a, 0) / count) * (tl.sum(b * b, 0) / count)) + _TINY)
