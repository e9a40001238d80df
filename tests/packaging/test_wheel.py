"""The wheel carries everything that the packages hold, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = ("cyclecast", "stream", "model", "replay")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, root: Path) -> set[str]:
    """Names of the files in a freshly built wheel."""
    pytest.importorskip("hatchling", reason="the build backend is not installed: make setup brings it")
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(build, cwd=root, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("cyclecast-*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_every_file_of_the_packages_is_in_the_wheel_and_no_other(wheel: set[str], root: Path) -> None:
    held = {
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in wheel if ".dist-info/" not in name}
    assert shipped == held


@pytest.mark.parametrize(
    "name",
    [
        *(f"{package}/py.typed" for package in PACKAGES),
        "stream/board/static/index.html",
        "replay/samples/LFP-1.parquet",
        "replay/samples/LFP-1.truth.parquet",
        *(
            f"model/artifacts/{kind}/{file}"
            for kind in ("cycle", "sample")
            for file in ("manifest.json", "model.safetensors", "card.md")
        ),
    ],
)
def test_what_the_commands_need_without_a_checkout_is_shipped(wheel: set[str], name: str) -> None:
    assert name in wheel


def test_built_in_mapping_files_are_shipped(wheel: set[str]) -> None:
    assert any(name.startswith("replay/") and name.endswith(".toml") for name in wheel)


def test_the_wheel_holds_the_licence_and_the_script(wheel: set[str]) -> None:
    names = {name.split(".dist-info/")[1] for name in wheel if ".dist-info/" in name}
    assert {"licenses/LICENSE", "entry_points.txt", "METADATA"} <= names
