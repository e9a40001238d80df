"""The loss curve of a training run, for machines (CSV) and for eyes (PNG)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from model.checkpoint import Epoch


def write_csv(path: Path, curve: Sequence[Epoch]) -> None:
    """One row an epoch."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(Epoch.model_fields))
        writer.writeheader()
        writer.writerows(epoch.model_dump() for epoch in curve)


def write_png(path: Path, curve: Sequence[Epoch], best_epoch: int) -> None:
    """Both losses over the epochs; the weights kept are those of ``best_epoch``."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    epochs = [epoch.epoch for epoch in curve]
    axes.plot(epochs, [epoch.train_loss for epoch in curve], label="training")
    axes.plot(epochs, [epoch.validation_loss for epoch in curve], label="validation")
    axes.axvline(best_epoch, color="grey", linestyle=":", label="kept")
    axes.set(xlabel="epoch", ylabel="pinball loss", yscale="log")
    axes.legend()
    figure.savefig(path, dpi=120)
