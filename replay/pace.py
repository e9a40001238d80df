"""When a record is due: event time at a speed factor, against the clock. Pure arithmetic, no waiting."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.errors import ConfigurationError

MAX = math.inf


def parse_speed(text: str) -> float:
    """The speed factor that ``text`` names: a positive number, or ``max``. Raises ``ConfigurationError``."""
    if text.strip().lower() == "max":
        return MAX
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise ConfigurationError(f"speed = {text!r}: neither a positive number nor 'max'")
    return speed


@dataclass(frozen=True, slots=True)
class Pace:
    """Event time ``first_ms`` is due at ``started_s`` of the monotonic clock; ``speed`` seconds of it pass each second.

    Every due time is counted from the start, so that no rounding or waiting adds up.
    """

    speed: float
    first_ms: int
    started_s: float

    def due_s(self, t_ms: int) -> float:
        """The monotonic time at which event time ``t_ms`` is due."""
        return self.started_s + (t_ms - self.first_ms) / (1000.0 * self.speed)

    def due(self, t_ms: NDArray[np.int64], now_s: float) -> int:
        """How many of the ascending times ``t_ms`` (int64 [n]) are due at ``now_s``."""
        due_s = self.started_s + (t_ms - self.first_ms) / (1000.0 * self.speed)
        return int(np.searchsorted(due_s, now_s, side="right"))
