"""What `model.novelty.Novelty` says of windows on a CPU, compiled: a window at a time, all of it in the nearest cache.

A library call for each of its thirty operations costs more than what they compute. Sums are taken in vectors, and so
in another order than torch's: scores agree within rounding, and depend on nothing but their own window.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

CLIP = 10.0
TINY, LEAST_JUMP = np.float32(1e-6), np.float32(1e-5)
_SUMS = {"reassoc", "contract", "nsz"}  # no NaN is assumed away: it marks what a window does not show


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def score(windows, of_samples, mean, std, whiten, origin, limit, low, high, excess_limit, out):  # type: ignore[no-untyped-def]
    """Scores float32 [n] of windows float32 [n, L, C] into ``out``; the rest are the buffers of `Novelty`.

    Clusters and numbers lie in one row: whiten [F, K * F], origin [K * F].
    """
    clusters, size = limit.shape[0], mean.shape[0]
    length, channels = windows.shape[1:]
    lines, squares = np.empty((channels, length), np.float32), np.empty(length, np.float32)
    told, offset = np.empty(size, np.float32), np.empty(clusters * size, np.float32)
    for at in range(windows.shape[0]):
        window = windows[at]
        if of_samples:
            shown = 0
            for channel in range(channels):
                shown += not math.isnan(window[0, channel])
            if not shown:
                out[at] = 0.0
                continue
            _summary(window, lines, squares, told)
        else:
            told[:] = window[length - 1]
        excess = np.float32(0.0)
        for place in range(clusters * size):
            offset[place] = -origin[place]
        for number in range(size):
            z = (told[number] - mean[number]) / std[number]
            z = np.float32(0.0 if math.isnan(z) else min(max(z, -CLIP), CLIP))
            excess = max(excess, low[number] - z, z - high[number])
            across = whiten[number]
            for place in range(clusters * size):
                offset[place] += z * across[place]
        nearest, squared = 0, np.float32(np.inf)
        for cluster in range(clusters):
            total = np.float32(0.0)
            for place in range(size):
                total += offset[cluster * size + place] * offset[cluster * size + place]
            if total < squared:
                nearest, squared = cluster, total
        out[at] = max(math.sqrt(squared / np.float32(size)) / limit[nearest], excess / excess_limit)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _summary(window, lines, squares, told):  # type: ignore[no-untyped-def]
    """`model.novelty.summary` of one window float32 [L, C] of samples into ``told``; ``lines`` [C, L] is scratch."""
    length, channels = window.shape
    for at in range(length):
        for channel in range(channels):
            lines[channel, at] = window[at, channel]
    for channel in range(channels):
        line = lines[channel]
        mean = _mean(line)
        std = math.sqrt(_comoment(line, mean, line, mean))
        least, most = _extremes(line) if math.isfinite(mean) else (mean, mean)
        step, turn = _jumps(line)
        told[channel], told[channels + channel] = mean, std
        told[2 * channels + channel], told[3 * channels + channel] = least, most
        told[4 * channels + channel] = line[length - 1]
        told[5 * channels + channel] = math.log10(step + LEAST_JUMP)
        told[6 * channels + channel] = math.log10(turn + LEAST_JUMP)
    together = told[7 * channels :]
    together[0] = _comoment(lines[0], told[0], lines[1], told[1]) / (told[channels] * told[channels + 1] + TINY)
    for at in range(length):
        squares[at] = lines[1, at] * lines[1, at]
    together[2] = _correlation(lines[2], squares)
    for at in range(length - 1):
        lines[0, at] = lines[0, at + 1] - lines[0, at]
        lines[1, at] = lines[1, at + 1] - lines[1, at]
    together[1] = _correlation(lines[0, : length - 1], lines[1, : length - 1])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _mean(line):  # type: ignore[no-untyped-def]
    total = np.float32(0.0)
    for at in range(line.shape[0]):
        total += line[at]
    return total / np.float32(line.shape[0])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _comoment(a, a_mean, b, b_mean):  # type: ignore[no-untyped-def]
    """Mean product of two lines, each about its mean."""
    total = np.float32(0.0)
    for at in range(a.shape[0]):
        total += (a[at] - a_mean) * (b[at] - b_mean)
    return total / np.float32(a.shape[0])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _correlation(a, b):  # type: ignore[no-untyped-def]
    """Pearson's; about 0 where one does not move."""
    a_mean, b_mean = _mean(a), _mean(b)
    spread = math.sqrt(_comoment(a, a_mean, a, a_mean) * _comoment(b, b_mean, b, b_mean))
    return _comoment(a, a_mean, b, b_mean) / (spread + TINY)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def _extremes(line):  # type: ignore[no-untyped-def]
    """The least and the most of a line without NaN."""
    least = most = line[0]
    for at in range(line.shape[0]):
        least, most = min(least, line[at]), max(most, line[at])
    return least, most


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_SUMS)
def _jumps(line):  # type: ignore[no-untyped-def]
    """Mean first and second difference, without their signs."""
    length = line.shape[0]
    step, turn = np.float32(0.0), np.float32(0.0)
    for at in range(length - 1):
        step += abs(line[at + 1] - line[at])
    for at in range(length - 2):
        turn += abs((line[at + 2] - line[at + 1]) - (line[at + 1] - line[at]))
    return step / np.float32(length - 1), turn / np.float32(length - 2)
