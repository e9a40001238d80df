"""How probable it is that a cell's life ends within its warranty."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Z95 = 1.6448536269514722  # the normal distribution's 95 % quantile
_LEAST_CYCLES = 1e-3  # of a half width: a life that is certain


@njit(cache=True, nogil=True, error_model="numpy")
def crossing_probability(rul_cycles: NDArray[np.float32], cycles_left: NDArray[np.int64]) -> NDArray[np.float64]:
    """The probability that no more cycles are left to the end of life than to the end of the warranty, float64 [n].

    rul_cycles: float32 [n, 3], its 5, 50 and 95 % quantiles. cycles_left: int64 [n], of the warranty. NaN where nothing
    is said or the warranty is over. On each side of the median, lives are taken to lie as half of a normal distribution
    with that quantile does: so the three quantiles are met.
    """
    found = np.full(cycles_left.shape[0], np.nan)
    for row in range(cycles_left.shape[0]):
        if cycles_left[row] < 0:
            continue
        low, middle, high = rul_cycles[row].astype(np.float64)
        distance = cycles_left[row] - middle
        width = max(middle - low if distance < 0 else high - middle, _LEAST_CYCLES)
        found[row] = 0.5 * math.erfc(-distance / width * _Z95 / math.sqrt(2.0))
    return found
