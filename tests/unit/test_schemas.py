"""The published schemas say what the code does."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cyclecast import __version__
from stream.codec import Codec
from stream.records import Interval, Origin, Prediction
from stream.schemas import asyncapi, documents
from stream.seams import Record

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES: list[dict[str, Any]] = [
    {
        "v": 1,
        "kind": "pack",
        "pack_id": "P1",
        "t_ms": 1731000000000,
        "current_a": -12.5,
        "voltage_v": [3.312, None],
        "temp_degc": [25.1],
    },
    {
        "v": 1,
        "kind": "cell",
        "pack_id": "P1",
        "cell": 7,
        "t_ms": 1731000000000,
        "voltage_v": 3.312,
        "current_a": -12.5,
        "temp_degc": 25.1,
    },
]


def test_committed_documents_are_what_the_code_generates():
    rendered = runpy.run_path(str(DOCS / "generate.py"))["rendered"]()
    for path, text in rendered.items():
        assert path.read_text() == text, f"{path.name} is stale: make docs"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["kind"])
def test_schema_and_codec_take_the_same_records(example):
    schema = documents(__version__)["schemas/telemetry.json"]
    codec = Codec(10_000)
    bad = [
        {**example, "voltage_v": "3.3"},
        {**example, "pack_id": ""},
        {**example, "kind": "module"},
        {key: value for key, value in example.items() if key != "current_a"},
    ]
    for record, good in [(example, True), *((each, False) for each in bad)]:
        assert jsonschema.Draft202012Validator(schema).is_valid(record) is good
        refused = codec.decode([Record(0, 0, None, json.dumps(record).encode())])[1]
        assert (not refused) is good


def test_published_prediction_satisfies_its_schema():
    soh = Interval(0.9, 0.92, 0.94)
    prediction = Prediction(1, "P1", 7, 1731000000000, 3, [], "m@0123", Origin("t", 0, 5), cycle=3, soh=soh)
    jsonschema.validate(json.loads(Codec(1).encode(prediction)), documents(__version__)["schemas/prediction.json"])


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = asyncapi(__version__)

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for child in node.values() for found in references(child)]
        return [found for child in node for found in references(child)] if isinstance(node, list) else []

    found = references(document)
    assert len(found) > 8
    for reference in found:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
