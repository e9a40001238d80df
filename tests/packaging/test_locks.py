"""The locks pin what ``pyproject.toml`` asks for, by hash, and say nothing about where it comes from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
ABSENT = "sys_platform == 'never'"


def _entries(lock: Path) -> list[tuple[Requirement, int]]:
    """Each requirement of a lock, and how many hashes it has."""
    logical = lock.read_text().replace("\\\n", " ").splitlines()
    lines = [line for line in logical if line.strip() and not line.lstrip().startswith("#")]
    return [
        (Requirement(re.split(r"\s--hash", line)[0]), len(re.findall(r"--hash=sha256:[0-9a-f]{64}", line)))
        for line in lines
    ]


def _pins(lock: Path) -> dict[str, set[Version]]:
    pins: dict[str, set[Version]] = {}
    for requirement, _ in _entries(lock):
        (specifier,) = requirement.specifier
        pins.setdefault(canonicalize_name(requirement.name), set()).add(Version(specifier.version))
    return pins


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host| @ |^-", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_each_requirement_is_pinned_and_hashed(lock: Path) -> None:
    entries = _entries(lock)
    assert entries
    for requirement, hashes in entries:
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", requirement
        assert hashes > 0, requirement


def _asked(pyproject: dict[str, Any], *extras: str) -> list[Requirement]:
    optional = pyproject["project"]["optional-dependencies"]
    texts = [*pyproject["project"]["dependencies"], *(text for extra in extras for text in optional[extra])]
    return [each for each in map(Requirement, texts) if each.name != "cyclecast"]


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("runtime", ("demo",)),
        ("dev", ("dev", "demo", "export")),
        ("simulate", ("demo", "simulate")),
        ("notebook", ("notebook",)),
    ],
)
def test_a_lock_holds_what_is_asked_for(pyproject: dict[str, Any], name: str, extras: tuple[str, ...]) -> None:
    pins = _pins(ROOT / "locks" / f"{name}.txt")
    for requirement in _asked(pyproject, *extras):
        versions = pins.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement.name} is missing: run `make locks`"
        assert all(version in requirement.specifier for version in versions), requirement


def test_all_locks_agree_on_versions() -> None:
    everywhere: dict[str, dict[str, set[Version]]] = {}
    for lock in LOCKS:
        for name, versions in _pins(lock).items():
            everywhere.setdefault(name, {})[lock.stem] = versions
    assert {name: held for name, held in everywhere.items() if len(set(map(frozenset, held.values()))) > 1} == {}


@pytest.mark.parametrize("name", ["runtime-without-torch", "notebook"])
def test_a_lock_that_may_lie_over_a_base_s_torch_installs_neither_torch_nor_cuda(name: str) -> None:
    for requirement, _ in _entries(ROOT / "locks" / f"{name}.txt"):
        if re.match(r"torch$|triton$|nvidia-|cuda-", requirement.name):
            assert requirement.marker is not None, requirement
            assert not requirement.marker.evaluate(), requirement
