"""Standardisation with what the training cells show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.accuracy.cell import Floats


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and deviation of each feature [F]; what is missing becomes 0, what lies far outside is clipped."""

    mean: Floats
    deviation: Floats
    clip: float
    columns: tuple[int, ...] = ()

    @classmethod
    def of(cls, steps: Floats, weight: Floats, clip: float, columns: tuple[int, ...] = ()) -> Scale:
        """From steps [N, F] of training cells, weighted by [N]; a feature never seen has no say."""
        chosen = steps[:, columns] if columns else steps
        known = np.isfinite(chosen)
        share = np.where(known, weight[:, None], 0.0)
        total = np.maximum(share.sum(0), 1e-12)
        mean = (share * np.where(known, chosen, 0.0)).sum(0) / total
        variance = (share * np.where(known, chosen - mean, 0.0) ** 2).sum(0) / total
        # A feature that never moved in training must not explode where it does.
        deviation = np.sqrt(variance)
        return cls(mean, np.where(deviation > 1e-9 * (1 + np.abs(mean)), deviation, np.inf), clip, columns)

    def __call__(self, steps: Floats) -> Floats:
        """Float64 [..., F] -> the same, standardised."""
        chosen = steps[..., self.columns] if self.columns else steps
        scaled = np.clip((chosen - self.mean) / self.deviation, -self.clip, self.clip)
        return np.where(np.isfinite(scaled), scaled, 0.0)
