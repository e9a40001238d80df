"""Growing the arrays that hold one of everything for each cell."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def grown(array: NDArray[Scalar], slots: int) -> NDArray[Scalar]:
    """A copy with at least ``slots`` rows, zero where new; it doubles, so that growing copies each row O(1) times."""
    rows = max(slots, 2 * len(array), 16)
    larger = np.zeros((rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
