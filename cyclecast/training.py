"""What a training run shows while it runs: a line for each epoch, and within it how far, at which loss, until when."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cyclecast.commands.output import console, table
from model.checkpoint import Epoch
from model.plan import ROLES, Plan
from model.train import Pace


class TrainingProgress:
    """Listens to a run of at most ``epochs`` epochs. The bar is for terminals alone; the lines are for logs, too."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._began_s = time.monotonic()
        self._first: float | None = None
        self._best: Epoch | None = None
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} windows  loss {task.fields[loss]:.5f}"),
            TextColumn("lr {task.fields[lr]:.2e}  {task.fields[left]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=1, epoch=0, epochs=epochs, loss=0.0, lr=0.0, left="")

    def __enter__(self) -> Self:
        self._began_s = time.monotonic()
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar.live.is_started:  # else it would print an empty line
            self._bar.stop()

    def paced(self, pace: Pace) -> None:
        """A step of the optimiser was made."""
        if self._first is None:
            self._first = float(pace.epoch)
        done = pace.epoch + pace.windows / pace.of
        self._bar.update(
            self._task,
            completed=pace.windows,
            total=pace.of,
            epoch=pace.epoch,
            loss=pace.loss,
            lr=pace.lr,
            left=self._left(done),
        )

    def finished(self, epoch: Epoch) -> None:
        """An epoch is over."""
        if self._best is None or epoch.validation_loss < self._best.validation_loss:
            self._best = epoch
        errors = ", ".join(f"{target} {error:.4g}" for target, error in epoch.validation_mae.items())
        typer.echo(
            f"epoch {epoch.epoch:4d}   train {epoch.train_loss:.5f}   validation {epoch.validation_loss:.5f}"
            f"   error {errors}   lr {epoch.lr:.2e}   best {self._best.epoch}   {self._left(epoch.epoch + 1)}"
        )

    def _left(self, done: float) -> str:
        """The time that all epochs would take; training may stop earlier. ``done`` epochs are behind, of any start."""
        since = done - (self._first or 0.0)
        if since <= 0:
            return ""
        left_s = (time.monotonic() - self._began_s) / since * (self._epochs - done)
        return f"at most {spoken(left_s)} left"


def show(planned: Plan) -> None:
    """Prints what would be trained on what."""
    config, manifest = planned.config, planned.manifest
    out = console()
    parent = f", from {manifest.parent.name}@{manifest.parent.sha256[:12]}" if manifest.parent else ""
    out.print(
        f"{config.name}{parent}: {planned.parameters:,} weights on {planned.device}, precision {config.precision}"
    )
    steps = ", ".join(f"{key} {value}" for key, value in config.steps.model_dump(exclude={"kind"}).items())
    out.print(f"{config.steps.kind} steps of {len(manifest.channels)} channels: {steps}")
    targets = [target.name for target in config.targets]
    rows = [
        [role, len(planned.cells[role]), planned.windows[role], *(planned.labels[role][name] for name in targets)]
        for role in ROLES
    ]
    out.print(table(None, ["role", ">cells", ">windows", *(f">{name} labels" for name in targets)], rows))
    for role in ROLES:
        out.print(f"{role}: {', '.join(planned.cells[role]) or 'none'}")
    out.print(
        f"at most {config.epochs} epochs of {planned.epoch_windows:,} windows in {planned.steps:,} steps, "
        f"ends after {config.patience} without a better one"
    )
    out.print(f"at most {spoken(planned.seconds)}, by the time of a few steps here; nothing was written")


def spoken(seconds: float) -> str:
    """A duration as people say it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
