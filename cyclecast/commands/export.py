"""``cyclecast export``: a model for places where no Python runs."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cyclecast.commands.model_check import known_artifact
from cyclecast.commands.out_folder import usable_out
from stream.errors import ConfigurationError


class Form(StrEnum):
    """File formats of an exported model."""

    ONNX = "onnx"
    PT2 = "pt2"
    TORCHSCRIPT = "torchscript"


def export(
    model: Annotated[str, typer.Argument(metavar="DIR", help="Artifact folder, or built-in 'cycle' or 'sample'.")],
    to: Annotated[Form, typer.Option(help="The format.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
) -> None:
    """Write a model as one file for edge deployment.

    Input 'windows', float32 [n, steps, channels], NaN where there is no step or
    no reading; output 'quantiles', float32 [n, targets, 3] in natural units.
    The file is read back and must answer as the model does, else nothing is
    left. ONNX needs: pip install 'cyclecast[export]'.

    [bold]Examples[/bold]
      cyclecast export cycle --to onnx --out cycle.onnx
      cyclecast export runs/first --to pt2 --out first.pt2
    """
    known_artifact(model, "DIR")
    if out.is_dir():
        raise ConfigurationError(f"--out = {str(out)!r}: is a folder; give the file to write")
    usable_out(out, out.parent)
    from model.artifact import load
    from model.export import export as write

    artifact = load(model)
    difference = write(artifact, to.value, out)
    size = out.stat().st_size / 1024
    typer.echo(f"wrote {out} ({size:,.0f} KiB): {artifact.model_id}, answers as the model does to {difference:.1e}")
