"""What the chaos tests share: a model whose answers are arbitrary and always the same, and the run without trouble."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.schema import CycleSteps
from stream.seams import Record
from tests.oracle import Oracle, clean_run
from tests.telemetry import artifact


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "artifact"
    artifact(folder, CycleSteps(window=8))
    return folder


@pytest.fixture(scope="module")
def oracle(model: Path, telemetry: list[Record]) -> Oracle:
    """What the module's own telemetry should give."""
    return clean_run(model, telemetry)
