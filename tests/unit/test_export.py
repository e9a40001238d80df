from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from model import export as exporting
from model.artifact import NetworkShape
from model.export import ExportError, Form, export
from model.schema import SampleSteps
from tests.small_model import random_windows, small_artifact


@pytest.mark.filterwarnings("ignore:.*torch.jit.load:FutureWarning")  # TorchScript is asked for by old runtimes
@pytest.mark.parametrize("form", ["torchscript", "pt2", "onnx"])
def test_an_exported_file_answers_like_the_model(tmp_path: Path, form: Form) -> None:
    if form == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason="the export extra is not installed")
    steps = SampleSteps(window=12)
    artifact = small_artifact(steps, network=NetworkShape(hidden_dim=8, skip=True, integrate=True))
    out = tmp_path / "edge" / f"model.{form}"
    assert export(artifact, form, out) <= exporting.TOLERANCE
    assert [item.name for item in out.parent.iterdir()] == [out.name]
    windows = random_windows(artifact.manifest, 21, seed=7)
    expected = artifact.forecaster(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(_answers(form, out, windows), expected, rtol=1e-4, atol=1e-4)


def _answers(form: Form, path: Path, windows: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        if form == "onnx":
            session = importlib.import_module("onnxruntime").InferenceSession(path)
            return session.run(["quantiles"], {"windows": windows})[0]
        if form == "pt2":
            return torch.export.load(path).module()(torch.from_numpy(windows)).numpy()
        return torch.jit.load(path)(torch.from_numpy(windows)).numpy()


def test_a_file_that_answers_differently_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = small_artifact(seed=1)
    honest = exporting._to_script
    monkeypatch.setattr(exporting, "_to_script", lambda artifact, windows: honest(other, windows))
    with pytest.raises(ExportError, match="answers differently from the model"):
        export(small_artifact(), "torchscript", tmp_path / "m.ts")
    assert list(tmp_path.iterdir()) == []


def test_without_the_export_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(exporting.importlib, "import_module", absent)
    with pytest.raises(ExportError, match=r"needs the package onnx: pip install 'cyclecast\[export\]'"):
        export(small_artifact(), "onnx", tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
