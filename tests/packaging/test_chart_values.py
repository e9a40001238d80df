"""The values of the Helm chart: unknown ones are refused, by Helm and by the schema, and documents show known ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.packaging.rendering import CASES, CHART, DEFAULTS, helm, needs_helm, values

ROOT = Path(__file__).parents[2]
SCHEMA = jsonschema.Draft202012Validator(json.loads((CHART / "values.schema.json").read_text()))


def merged(changed: dict[str, Any], defaults: dict[str, Any] = DEFAULTS) -> dict[str, Any]:
    """The defaults with these values laid over them, as Helm does it: a null takes a key away."""
    both = dict(defaults)
    for key, value in changed.items():
        below = both.get(key)
        both[key] = merged(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return {key: value for key, value in both.items() if value is not None}


@needs_helm
@pytest.mark.parametrize("unknown", ["replica=3", "settings.kafka.bootstap=a:1", "settings.kafka.bootstrap=null"])
def test_helm_refuses_values_that_the_schema_does_not_know(unknown: str) -> None:
    done = helm("template", "x", "--set", unknown)
    assert done.returncode != 0
    assert unknown.partition("=")[0].rpartition(".")[2] in done.stderr


@pytest.mark.parametrize("case", ["defaults", *CASES])
def test_the_schema_takes_the_values_that_are_rendered(case: str) -> None:
    SCHEMA.validate(DEFAULTS if case == "defaults" else merged(yaml.safe_load(values(case).read_text())))


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 3},
        {"replicas": -1},
        {"image": {"tag": 1.2}},
        {"settings": {"kafka": {"instance_id": "x"}}},
        {"settings": {"kafka": {"bootstap": "a:1"}}},
        {"settings": {"kafka": {"security": {"password": "x"}}}},
        {"settings": {"kafka": {"bootstrap": None}}},
        {"settings": {"batch": {"max_windows": 0}}},
        {"secrets": {"kafka.security.passwd": {"secret": "a", "key": "b"}}},
        {"secrets": {"kafka.security.password": {"secret": "a"}}},
        {"gpu": {"count": 2}},
        {"modelVolume": {"persistentVolumeClaim": {"claimName": "a"}, "emptyDir": {}}},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses_what_is_unknown_or_cannot_be(wrong: dict[str, Any]) -> None:
    assert not SCHEMA.is_valid(merged(wrong))


def test_documented_values_and_charts_are_those_that_exist() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        SCHEMA.validate(merged(yaml.safe_load(block)))
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for path in re.findall(r"\bdeploy/\S+", block):
            assert (ROOT / path).exists(), path
        given: dict[str, Any] = {}
        for key, value in re.findall(r"--set (\S+?)=(\S+)", block):
            tree: Any = value
            for part in reversed(key.split(".")):
                tree = {part: tree}
            given = merged(tree, given)
        SCHEMA.validate(merged(given))
