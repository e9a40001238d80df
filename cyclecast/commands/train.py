"""``cyclecast train``: recordings in, an artifact out."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cyclecast.commands.model_check import known_artifact, usable_device
from cyclecast.commands.options import Recordings
from cyclecast.commands.out_folder import usable_out
from stream.errors import ConfigurationError


def train(
    paths: Recordings,
    out: Annotated[Path, typer.Option(help="Folder of the artifact: manifest, weights, card, loss curve.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="TOML: steps, targets, split, network, schedule.", exists=True, dir_okay=False
        ),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="ARTIFACT", help="Fine-tune this one: a folder, or built-in 'cycle' or 'sample'."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or cuda:N.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained on what; write nothing.")
    ] = False,
) -> None:
    """Train a model from recordings and write it as an artifact.

    Splits by cell, so that no cell is both learned and judged; fits scalers on
    the training cells alone; stops early on the validation cells; calibrates
    the intervals on cells of their own. Prints a line for each epoch; curve.html
    and tensorboard/ in --out show the same as curves. Interrupted, it goes on
    with --resume and ends with the same weights. Recordings need measured
    capacities (the truth companion). With --from it starts from another model's
    weights and scalers, at a tenth of the learning rate.

    [bold]Examples[/bold]
      cyclecast train recordings/ --out runs/first --dry-run
      cyclecast train lab/ fleet/ --out runs/lfp --config lfp.toml --device cuda
      cyclecast train my-cells/ --out runs/mine --from cycle
      torchrun --nproc-per-node 4 -m cyclecast train recordings/ --out runs/big
    """
    usable_device(device, "--device")
    if parent is not None:
        known_artifact(parent, "--from")
    from model.adaptation import adapted
    from model.artifact import load
    from model.training_config import Training, TrainingConfigError, load_config

    start = load(parent) if parent is not None else None
    try:
        training = load_config(config) if config is not None else Training()
        if start is not None:
            training = adapted(training, start.manifest)
    except TrainingConfigError as error:
        raise ConfigurationError(str(error)) from None

    import torch

    from cyclecast.training import TrainingProgress, show
    from model.plan import plan
    from model.train import train as run_training
    from replay.readers import iter_recordings

    if (
        "OMP_NUM_THREADS" not in os.environ
    ):  # of matrices this small more threads make waiting, not speed; torchrun does
        torch.set_num_threads(1)
    leads = os.environ.get("RANK", "0") == "0"
    recordings = iter_recordings(paths)
    try:
        if dry_run:
            planned = plan(recordings, training, parent=start, device=device)
            if leads:
                show(planned)
            return
        usable_out(out, out)
        with TrainingProgress(training.epochs) as shown:
            manifest = run_training(
                recordings,
                training,
                out,
                shown.finished,
                shown.paced,
                parent=start,
                device=device,
                resume=resume,
            )
    except KeyboardInterrupt:
        typer.echo(f"interrupted; the same command with --resume goes on from the checkpoint in {out}", err=True)
        raise
    except TrainingConfigError as error:
        raise ConfigurationError(str(error)) from None
    if leads:
        typer.echo(f"wrote {out}: {manifest.model_id}")
        typer.echo(f"`cyclecast inspect {out}` shows its errors; `cyclecast stream --model {out}` runs it.")
