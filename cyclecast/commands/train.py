"""``cyclecast train``: recordings in, an artifact out."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cyclecast.commands.model_check import usable_device
from cyclecast.commands.options import Recordings
from stream.errors import ConfigurationError

if TYPE_CHECKING:
    from model.checkpoint import Epoch


def train(
    paths: Recordings,
    out: Annotated[Path, typer.Option(help="Folder of the artifact: manifest, weights, card, loss curve.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="TOML: steps, targets, split, network, schedule.", exists=True, dir_okay=False
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or cuda:N.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train a model from recordings and write it as an artifact.

    Splits by cell, so that no cell is both learned and judged; fits scalers on
    the training cells alone; stops early on the validation cells; calibrates
    the intervals on cells of their own. Prints a line for each epoch, then the
    measured errors. Interrupted, it goes on with --resume and ends with the
    same weights. Recordings need measured capacities (the truth companion).

    [bold]Examples[/bold]
      cyclecast train recordings/ --out runs/first
      cyclecast train lab/ fleet/ --out runs/lfp --config lfp.toml --device cuda
      torchrun --nproc-per-node 4 -m cyclecast train recordings/ --out runs/big
    """
    usable_device(device, "--device")
    from model.training_config import Training, TrainingConfigError, load_config

    try:
        training = load_config(config) if config is not None else Training()
    except TrainingConfigError as error:
        raise ConfigurationError(str(error)) from None

    from model.train import train as run_training
    from replay.readers import iter_recordings

    leads = os.environ.get("RANK", "0") == "0"

    def told(epoch: Epoch) -> None:
        typer.echo(
            f"epoch {epoch.epoch:4d}   train {epoch.train_loss:.5f}   validation {epoch.validation_loss:.5f}"
            f"   lr {epoch.lr:.2e}"
        )

    try:
        manifest = run_training(iter_recordings(paths), training, out, told, device=device, resume=resume)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; the same command with --resume goes on from the checkpoint in {out}", err=True)
        raise
    except TrainingConfigError as error:
        raise ConfigurationError(str(error)) from None
    if leads:
        typer.echo(f"wrote {out}: {manifest.model_id}")
        typer.echo(f"`cyclecast inspect {out}` shows its errors; `cyclecast stream --model {out}` runs it.")
