"""Writes the generated documents: ``make docs``. A test holds them to the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cyclecast import __version__
from stream.schemas import documents
from stream.settings import Settings

DOCS = Path(__file__).parent
VALUES = DOCS.parent / "deploy" / "helm" / "cyclecast" / "values.schema.json"
# Set by the chart itself, or from a Secret: no business of a ConfigMap's.
NOT_VALUES = {
    "HttpSettings": {"host"},
    "KafkaSettings": {"instance_id"},
    "SecuritySettings": {"password", "ca_file", "cert_file", "key_file"},
}


def values_schema() -> dict[str, Any]:
    """The schema of the chart's values as it lies there, its ``settings`` those of the code."""
    schema: dict[str, Any] = json.loads(VALUES.read_text())
    settings = Settings.model_json_schema()
    sections = settings.pop("$defs")
    own = {name: rule for name, rule in schema["$defs"].items() if not name.endswith("Settings")}
    for name, section in sections.items():
        kept = {key: rule for key, rule in section["properties"].items() if key not in NOT_VALUES.get(name, ())}
        section["properties"] = {key: _told(rule) for key, rule in kept.items()}
        own[name] = _told(section)
    settings["properties"] = {key: _told(rule) for key, rule in settings["properties"].items()}
    own["KafkaSettings"]["required"] = ["bootstrap"]
    schema["properties"]["settings"] = {**_told(settings), "required": ["kafka"]}
    schema["$defs"] = own
    return schema


def _told(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule without what repeats its name, or another rule's defaults."""
    return {key: value for key, value in rule.items() if key != "title" and not (key == "default" and "$ref" in rule)}


def rendered() -> dict[Path, str]:
    """Each generated file and its content."""
    contents = {DOCS / name: content for name, content in documents(__version__).items()} | {VALUES: values_schema()}
    return {path: json.dumps(content, indent=1) + "\n" for path, content in contents.items()}


if __name__ == "__main__":
    for path, text in rendered().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"written: {path.relative_to(DOCS.parent)}")  # noqa: T201 - a command that says what it did
