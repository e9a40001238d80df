from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model import artifact as artifacts
from model.artifact import CARD, MANIFEST, WEIGHTS, ArtifactError, load, resolve, save
from model.schema import CycleSteps, SampleSteps
from model.training_config import load_config
from tests.small_model import manifest_of, random_windows, small_artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = small_artifact()
    save(tmp_path / "kept", made.manifest, made.forecaster.network.state_dict(), "# A card\n")
    return tmp_path / "kept"


@pytest.mark.parametrize("steps", [CycleSteps(window=12), SampleSteps(window=20)])
def test_a_loaded_artifact_predicts_what_was_saved(tmp_path: Path, steps: CycleSteps | SampleSteps) -> None:
    made = small_artifact(steps)
    manifest = save(tmp_path / "a", made.manifest, made.forecaster.network.state_dict(), "# A card\n")
    loaded = load(tmp_path / "a")
    assert loaded.manifest == manifest
    assert loaded.model_id == f"small@{manifest.sha256[:12]}"
    windows = torch.from_numpy(random_windows(manifest, 9))
    assert torch.equal(loaded.forecaster(windows), made.forecaster(windows))
    assert sorted(item.name for item in (tmp_path / "a").iterdir()) == sorted([CARD, MANIFEST, WEIGHTS])
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


def test_the_same_content_has_the_same_hash_and_any_other_another(tmp_path: Path) -> None:
    made, other = small_artifact(), small_artifact(seed=1)
    hashes = [
        save(tmp_path / str(index), manifest, tensors.forecaster.network.state_dict(), "").sha256
        for index, (manifest, tensors) in enumerate(
            [
                (made.manifest, made),
                (made.manifest, made),
                (made.manifest, other),
                (made.manifest.model_copy(update={"eol_soh": 0.7}), made),
            ]
        )
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_an_artifact_without_a_later_versions_optional_field_still_loads(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    del content["seed"]
    content["sha256"] = artifacts._content_hash(content, (folder / WEIGHTS).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(content))
    assert load(folder).manifest.seed == 0


@pytest.mark.parametrize("name", artifacts.BUILT_IN)
def test_built_in_models_load_and_say_what_they_were_trained_on(name: str) -> None:
    manifest = load(name).manifest
    assert manifest.name == manifest.steps.kind == name
    config = load_config(resolve(name).with_suffix(".toml"))
    assert (manifest.steps, manifest.targets, manifest.eol_soh) == (config.steps, config.targets, config.eol_soh)
    held_out = {cell.cell_id for cell in manifest.data if cell.role == "test"}
    assert {"B0005", "B0006", "B0007", "LFP-1/0", "NMC-1/0"} <= held_out
    assert manifest.metrics["test"]


def test_saving_over_an_artifact_leaves_the_new_one_whole(folder: Path) -> None:
    other = small_artifact(seed=1)
    manifest = save(folder, other.manifest, other.forecaster.network.state_dict(), "# Another\n")
    assert load(folder).manifest == manifest
    assert (folder / CARD).read_text() == "# Another\n"
    assert len(list(folder.iterdir())) == 3


def test_a_save_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = small_artifact()
    whole = artifacts._write

    def full_disk(path: Path, content: bytes) -> None:
        if path.name == MANIFEST:
            raise OSError(28, "No space left on device")
        whole(path, content)

    monkeypatch.setattr(artifacts, "_write", full_disk)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path / "a", made.manifest, made.forecaster.network.state_dict(), "")
    assert list(tmp_path.iterdir()) == []


def _edit(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps(content | changes))

    return edit


def _flip(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def _cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-5])


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (_flip, "sha256"),
        (_cut, "tensors"),
        (lambda folder: (folder / WEIGHTS).unlink(), "file"),
        (lambda folder: (folder / MANIFEST).unlink(), "file"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "content"),
        (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe"), "content"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "schema_version"),
        (_edit(schema_version=2), "schema_version"),
        (_edit(eol_soh=0.7), "sha256"),
        (_edit(eol_soh=7), "eol_soh"),
        (_edit(colour="red"), "colour"),
        (_edit(window=13), "window"),
        (_edit(name="../up"), "name"),
    ],
)
def test_a_damaged_artifact_is_refused_by_file_and_field(
    folder: Path, damage: Callable[[Path], None], field: str
) -> None:
    damage(folder)
    with pytest.raises(ArtifactError) as refusal:
        load(folder)
    assert refusal.value.field == field
    said = str(refusal.value)
    assert str(folder) in said
    assert "found" in said
    assert "expected" in said


def test_channels_in_another_order_are_refused(tmp_path: Path) -> None:
    made = small_artifact()
    swapped = (made.manifest.channels[1], made.manifest.channels[0], *made.manifest.channels[2:])
    manifest = made.manifest.model_copy(update={"channels": swapped})
    save(tmp_path / "a", manifest, made.forecaster.network.state_dict(), "")
    with pytest.raises(ArtifactError, match=r"channels\.0: found discharge \[1\], expected charge \[1\]; .*retrain"):
        load(tmp_path / "a")


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    made = small_artifact()
    tensors = dict(made.forecaster.network.state_dict())
    tensors["head.bias"] = torch.zeros(4)
    save(tmp_path / "a", made.manifest, tensors, "")
    with pytest.raises(ArtifactError, match=r"tensor head\.bias: found \[4\], expected \[9\]"):
        load(tmp_path / "a")
    del tensors["head.bias"]
    save(tmp_path / "a", made.manifest, tensors, "")
    with pytest.raises(ArtifactError, match=r"tensor head\.bias: found no such tensor"):
        load(tmp_path / "a")


def test_scaling_must_be_given_for_every_channel_and_target() -> None:
    manifest = manifest_of(CycleSteps())
    with pytest.raises(ValueError, match="channel_scaling has 1 entries for 32 channels"):
        manifest_of(CycleSteps(), channel_scaling=manifest.channel_scaling[:1])
    with pytest.raises(ValueError, match="target_scaling has 1 entries for 3 targets"):
        manifest_of(CycleSteps(), target_scaling=manifest.target_scaling[:1])
    with pytest.raises(ValueError, match="quantiles must ascend"):
        manifest_of(CycleSteps(), quantiles=(0.5, 0.05, 0.95))


def test_built_in_names_lead_into_the_package() -> None:
    assert resolve("cycle").parts[-3:] == ("model", "artifacts", "cycle")
    assert resolve("sample").parts[-3:] == ("model", "artifacts", "sample")
    assert resolve("some/folder") == Path("some/folder")
