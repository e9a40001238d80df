"""Causal features of a sequence of cycles: each cycle beside the cell's own beginning and its own recent past."""

from __future__ import annotations

import numba
import numpy as np

from bench.accuracy.cell import Floats

REFERENCE_CYCLES = 10


def held(values: Floats) -> Floats:
    """[T, F] with each missing value replaced by the one before it; NaN until there is one."""
    at = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    found: Floats = np.take_along_axis(values, np.maximum.accumulate(at, 0), 0)
    return found


def reference(values: Floats, cycles: int = REFERENCE_CYCLES) -> Floats:
    """[T, F]: the mean of a cell's first ``cycles`` cycles, as far as they are over."""
    known = np.isfinite(values)
    count = np.cumsum(known, 0)
    mean = np.cumsum(np.where(known, values, 0.0), 0) / np.maximum(count, 1)
    mean = np.where(count > 0, mean, np.nan)
    mean[cycles:] = mean[cycles - 1] if len(mean) >= cycles else np.nan
    return mean


def smoothed(values: Floats, cycles: float) -> Floats:
    """[T, F]: an exponential mean with a memory of ``cycles`` that starts as a plain mean."""
    return _smoothed(np.ascontiguousarray(values, np.float64), cycles)


@numba.njit(cache=True)
def _smoothed(values: Floats, cycles: float) -> Floats:
    found = values.copy()
    for step in range(1, len(values)):
        share = max(1.0 / cycles, 1.0 / (step + 1))
        for column in range(values.shape[1]):
            before, now = found[step - 1, column], values[step, column]
            if np.isfinite(before):
                found[step, column] = before + share * (now - before) if np.isfinite(now) else before
    return found


def trend_steps(statistics: Floats) -> Floats:
    """What a model sees of each cycle [T, 5 * F + 2]: its smoothed statistics, how these differ from the cell's own
    beginning, how they moved of late and over a longer past, how the single cycle differs, and how many cycles there
    were.
    """
    values = held(statistics)
    start = reference(values)
    quick, slow, slower = smoothed(values, 5.0), smoothed(values, 30.0), smoothed(values, 150.0)
    count = np.arange(1, len(values) + 1)[:, None]
    return np.concatenate(
        (quick, quick - start, quick - slow, quick - slower, values - quick, np.log(count), count / 500.0), 1
    )
