"""The ring of a cell's newest steps, and growing the arrays that hold one of everything for each cell."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def grown(array: NDArray[Scalar], slots: int) -> NDArray[Scalar]:
    """A copy with at least ``slots`` rows, zero where new; it doubles, so that growing copies each row O(1) times."""
    rows = max(slots, 2 * len(array), 16)
    larger = np.zeros((rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


@njit(cache=True, nogil=True)
def copy_window(ring, step, length, window):  # type: ignore[no-untyped-def]
    """Copies the ``length`` newest steps right-aligned into ``window``; ``step`` counts all steps ever appended."""
    size = ring.shape[0]
    window[: size - length] = np.nan
    start = (step - length) % size
    head = min(length, size - start)
    window[size - length : size - length + head] = ring[start : start + head]
    window[size - length + head :] = ring[: length - head]
