"""What the documents say exists: commands, flags, settings, targets, dependencies."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement

from cyclecast.cli import app
from stream.settings import KEYS, NOT_SETTINGS, Settings, environment_name

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *NOTEBOOKS]
CONTRACT = {
    "demo",
    "broker",
    "train",
    "stream",
    "replay",
    "backtest",
    "predictions",
    "dlq",
    "export",
    "inspect",
    "doctor",
}
TARGETS = {
    "setup",
    "demo",
    "test",
    "lint",
    "chaos",
    "bench",
    "bench-peers",
    "accuracy",
    "samples",
    "notebook",
    "image",
    "docs",
}
IMPORTED_AS = {"prometheus-client": "prometheus_client", "pydantic-settings": "pydantic_settings"}


def _said(document: Path) -> Iterator[str]:
    """Command lines in fenced shell blocks and in inline code."""
    text = document.read_text()
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def _command_lines() -> list[tuple[str, list[str]]]:
    return [
        (document.name, shlex.split(match[1], comments=True))
        for document in DOCUMENTS
        for line in _said(document)
        if (match := re.search(r"(?:^|-m )cyclecast ([a-z].*)", line.strip()))
    ]


def test_the_contract_has_its_commands() -> None:
    root = typer.main.get_command(app)
    assert set(_children(root)) >= CONTRACT
    assert set(_children(_children(root)["dlq"])) >= {"list", "show", "redrive"}


def _children(command: Any) -> dict[str, Any]:
    return dict(getattr(command, "commands", {}))


@pytest.mark.parametrize(
    ("document", "words"), _command_lines(), ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_documented_commands_and_flags_exist(document: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while words and words[0] in _children(command):
        command = _children(command)[words[0]]
        words = words[1:]
    assert command.name not in {None, "cyclecast"}, f"{document}: no such command"
    known = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(
        re.findall(r"^\| `([a-z_.]+)` \| (\S+) \|", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE)
    )
    assert list(rows) == list(KEYS)
    defaults = Settings().model_dump()
    for key, shown in rows.items():
        value: Any = defaults
        for part in key.split("."):
            value = value[part]
        assert shown == ("none" if value is None else f"`{json.dumps(value)}`"), key


def test_settings_that_documents_and_containers_name_exist() -> None:
    known = {environment_name(key) for key in KEYS} | NOT_SETTINGS
    # Read by docker compose itself, not by the service.
    known |= {"CYCLECAST_IMAGE", "CYCLECAST_NOTEBOOK_IMAGE", "CYCLECAST_MODEL", "CYCLECAST_DEVICE"}
    files = [*DOCUMENTS, ROOT / "Dockerfile", *ROOT.glob("docker-compose*.yml"), *(ROOT / "deploy").rglob("*.yaml")]
    for file in files:
        named = set(re.findall(r"\bCYCLECAST_[A-Z_]*[A-Z]\b", file.read_text()))
        assert named <= known, file.name


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_files_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for path in re.findall(r"`([a-z_]+(?:/[A-Za-z_.-]+)+)`", text):
        assert (ROOT / path).exists(), path


def test_the_makefile_has_the_contract_s_targets() -> None:
    text = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"^([a-z-]+):", text, re.MULTILINE)) >= TARGETS
    for document in DOCUMENTS:
        for line in _said(document):
            if match := re.match(r"make ([a-z-]+)", line.strip()):
                assert re.search(rf"^{match[1]}:", text, re.MULTILINE), f"{document.name}: make {match[1]}"


def test_every_dependency_is_used_and_has_its_reason(pyproject: dict[str, Any]) -> None:
    imported = {
        name.split(".")[0]
        for package in ("cyclecast", "stream", "model", "replay")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
        )
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    optional = pyproject["project"]["optional-dependencies"]
    for text in [*pyproject["project"]["dependencies"], *(text for extra in optional.values() for text in extra)]:
        name = Requirement(text).name
        if name != "cyclecast":
            assert re.search(rf"\b{re.escape(name)}\b", reasons), f"{name} has no reason in docs/dependencies.md"
    for text in pyproject["project"]["dependencies"]:
        name = Requirement(text).name
        assert IMPORTED_AS.get(name, name) in imported, f"{name} is a dependency that nothing imports"


def test_the_import_rule_covers_all_of_stream_but_kafka(pyproject: dict[str, Any]) -> None:
    rules = {rule["name"]: rule for rule in pyproject["tool"]["importlinter"]["contracts"]}
    covered = set(rules["Only stream.kafka knows the Kafka client"]["source_modules"])
    modules = {f"stream.{path.stem}" for path in (ROOT / "stream").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules - {"stream.__init__", "stream.kafka", "stream.__pycache__"} == {
        m for m in covered if m.startswith("stream.")
    }
