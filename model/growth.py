"""Growing the arrays that hold one of everything for each cell."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

LARGE_BYTES = 1024 * 1024


def grown(array: NDArray[Scalar], slots: int, bound: int = 0) -> NDArray[Scalar]:
    """A copy with at least ``slots`` rows, zero where new; it doubles, so that growing copies each row O(1) times.

    What becomes large has room for ``bound`` rows at once. The system backs zeros with memory only where something is
    written, so a large array is neither copied nor held twice, and takes what its used rows take.
    """
    shape, rows = array.shape[1:], max(slots, 2 * len(array), 16)
    larger = None
    if bound > rows and rows * math.prod(shape) * array.itemsize > LARGE_BYTES:
        with suppress(MemoryError, ValueError):  # more than the system promises, or than there are addresses
            larger = np.zeros((bound, *shape), array.dtype)
    if larger is None:
        larger = np.zeros((rows, *shape), array.dtype)
    larger[: len(array)] = array
    return larger
