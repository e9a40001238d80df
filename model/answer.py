"""What a model says of windows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Answer(NamedTuple):
    """quantiles: float32 [n, T, Q], natural units. strange: bool [n], which windows are out of distribution."""

    quantiles: NDArray[np.float32]
    strange: NDArray[np.bool_]
