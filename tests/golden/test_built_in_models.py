from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import replay
from model.artifact import BUILT_IN, load, read_manifest, resolve
from model.card import card
from model.dataset import fingerprint, windows_of
from model.evaluate import predict
from model.metrics import score
from model.training_config import load_config
from replay.readers import read

PACK = Path(replay.__file__).parent / "samples" / "LFP-1.parquet"


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_errors_in_the_manifest_are_those_of_the_shipped_weights_on_the_shipped_pack(name: str) -> None:
    artifact = load(name)
    manifest = artifact.manifest
    (recording,) = read([PACK])
    stated = {cell.cell_id: cell.sha256 for cell in manifest.data if cell.role == "test"}
    windows = windows_of([recording], manifest.steps, manifest.targets, manifest.eol_soh)
    assert {stated[cell_id] for cell_id in windows.cell_ids} == {fingerprint(recording)}
    rows = windows.of_cells(["LFP-1/3"])
    quantiles = predict(artifact.forecaster, windows, rows, "natural")
    test: Any = manifest.metrics["test"]
    for index, target in enumerate(manifest.targets):
        found = score(target, ["LFP-1/3"] * len(rows), windows.labels[rows, index], quantiles[:, index])
        assert found is not None
        assert found.mae == pytest.approx(test["targets"][target.name]["by_cell"]["LFP-1/3"]["mae"], rel=1e-3)
        assert test["targets"][target.name]["mae"] < test["baselines"][target.name]["mean"]["mae"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_shipped_card_is_what_the_manifest_and_the_configuration_say(name: str) -> None:
    folder = resolve(name)
    note = load_config(folder.with_suffix(".toml")).note
    assert note
    assert (folder / "card.md").read_text() == card(read_manifest(folder), note)
