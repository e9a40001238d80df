"""What a batch costs the model, learned from the batches that came back."""

from __future__ import annotations

MEMORY = 0.95  # a batch counts half after fourteen more: soon enough for a model or a machine that changes


class Cost:
    """``a * n + b`` seconds for a batch of n windows: exponentially weighted least squares, neither term negative."""

    def __init__(self) -> None:
        self._weight = self._n = self._s = self._nn = self._ns = 0.0

    def observe(self, windows: int, seconds: float) -> None:
        """A batch of ``windows`` (padding counts) took ``seconds``."""
        self._weight = self._weight * MEMORY + 1
        self._n = self._n * MEMORY + windows
        self._s = self._s * MEMORY + seconds
        self._nn = self._nn * MEMORY + windows * windows
        self._ns = self._ns * MEMORY + windows * seconds

    @property
    def line(self) -> tuple[float, float]:
        """``a`` (seconds a window) and ``b`` (seconds a batch); zero before anything was seen."""
        if not self._n:
            return 0.0, 0.0
        spread = self._weight * self._nn - self._n * self._n
        # One size alone does not tell the two apart: all is put to the windows.
        alone = spread <= 1e-6 * self._weight * self._nn
        slope = self._s / self._n if alone else (self._weight * self._ns - self._n * self._s) / spread
        if slope < 0:
            return 0.0, self._s / self._weight
        constant = (self._s - slope * self._n) / self._weight
        return (slope, constant) if constant >= 0 else (self._ns / self._nn, 0.0)

    def seconds(self, windows: int) -> float:
        """What a batch of so many windows is expected to take."""
        per_window, per_batch = self.line
        return per_window * windows + per_batch
