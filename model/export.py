"""A model for places where no Python runs: the whole forecaster, raw windows in, natural units out, in one file."""

from __future__ import annotations

import importlib
import io
import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from model.artifact import Artifact

Form = Literal["onnx", "pt2", "torchscript"]
TOLERANCE = 1e-4  # relative: another runtime adds in another order
INPUT, OUTPUT = "windows", "quantiles"


class ExportError(Exception):
    """Nothing usable was written; the message says what is missing, or by how much the file's answers differ."""


def export(artifact: Artifact, to: Form, out: Path) -> float:
    """Writes the forecaster to ``out`` for any number of windows, and reads it back to prove it.

    Input float32 [n, L, C], NaN where there is no step or no reading; output float32 [n, T, Q] as `Forecaster`
    returns. Returns the largest relative difference to the model itself over random windows; more than ``TOLERANCE``
    raises `ExportError` and leaves no file. ONNX needs the ``export`` extra.
    """
    windows = _random_windows(artifact)
    write, read = {"onnx": (_to_onnx, _of_onnx), "pt2": (_to_pt2, _of_pt2), "torchscript": (_to_script, _of_script)}[to]
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part.{to}")
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            # Exporters warn about their own inside (tracing, deprecations); what counts is checked below.
            warnings.simplefilter("ignore")
            part.write_bytes(write(artifact, windows))
            run = read(part)
            difference = max(_difference(artifact, run, windows[:count]) for count in (1, 3, len(windows)))
        if not difference <= TOLERANCE:
            raise ExportError(f"{out}: the {to} file answers differently from the model, by {difference:.2g} relative")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return difference


def _random_windows(artifact: Artifact) -> Tensor:
    """Windows of all kinds of fullness, with values around those of training and some far out: [8, L, C]."""
    forecaster, length = artifact.forecaster, artifact.manifest.window
    generator = torch.Generator().manual_seed(0)
    shape = (8, length, len(artifact.manifest.channels))
    windows = forecaster.scaler.mean + forecaster.scaler.std * 2 * torch.randn(shape, generator=generator)
    windows[torch.rand(shape, generator=generator) < 0.05] = math.nan
    for index in range(len(windows)):
        windows[index, : index * length // len(windows)] = math.nan
    return windows


def _difference(artifact: Artifact, run: Callable[[Tensor], Tensor], windows: Tensor) -> float:
    expected = artifact.forecaster(windows)
    return float(((run(windows) - expected).abs() / expected.abs().clamp(min=1.0)).max())


def _to_pt2(artifact: Artifact, windows: Tensor) -> bytes:
    buffer = io.BytesIO()
    shapes = {INPUT: {0: torch.export.Dim("n")}}
    torch.export.save(torch.export.export(artifact.forecaster, (windows,), dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


def _of_pt2(path: Path) -> Callable[[Tensor], Tensor]:
    with path.open("rb") as file:
        return torch.export.load(file).module()


def _to_script(artifact: Artifact, windows: Tensor) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(artifact.forecaster, windows, check_trace=False), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _of_script(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.jit.load(path)  # type: ignore[no-untyped-call, no-any-return]


def _to_onnx(artifact: Artifact, windows: Tensor) -> bytes:
    for name in ("onnx", "onnxscript"):
        _needed(name)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it tells of every optional package that it did without
    try:
        program = torch.onnx.export(
            artifact.forecaster,
            (windows,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: {0: torch.export.Dim("n")}},
            verbose=False,
        )
    finally:
        logger.setLevel(level)
    assert program is not None
    return program.model_proto.SerializeToString()  # type: ignore[no-any-return]


def _of_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    session = _needed("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda windows: torch.from_numpy(session.run([OUTPUT], {INPUT: windows.numpy()})[0])


def _needed(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExportError(f"export to ONNX needs the package {name}: pip install 'cyclecast[export]'") from error
