"""Float32 readings as the shortest decimals: what was measured with five digits is not sent with seventeen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_POWERS = 10.0 ** np.arange(23)  # all exact as doubles
_SMALLEST, _LARGEST = 1e-10, 1e15


def shortest(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The doubles that print as the shortest decimals which read back as ``values``; float64 of the same shape.

    Every value is exact: whatever its decimal, it rounds to the same float32. NaN and infinities stay.
    """
    single = np.ascontiguousarray(values, dtype=np.float32).ravel()
    result = single.astype(np.float64)
    size = np.abs(result)
    open_ = np.flatnonzero((size >= _SMALLEST) & (size < _LARGEST))
    exponent = np.floor(np.log10(size[open_])).astype(np.int64)
    for digits in range(6, 10):  # 6 always survive float32, and 9 always tell two of them apart
        places = digits - 1 - exponent
        up, down = _POWERS[np.maximum(places, 0)], _POWERS[np.maximum(-places, 0)]
        # A whole number below 1e9 over an exact power of ten: the nearest double to that decimal.
        rounded = np.rint(result[open_] * up / down) * down / up
        same = rounded.astype(np.float32) == single[open_]
        result[open_[same]] = rounded[same]
        open_, exponent = open_[~same], exponent[~same]
        if not len(open_):
            break
    return result.reshape(values.shape)
