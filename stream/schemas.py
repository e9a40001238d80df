"""JSON Schemas of the records and the AsyncAPI 3 document, made from the very types that decode the records."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.records import Alert, CellSample, PackFrame, PackRollup, Prediction, Telemetry
from stream.refusal import Reason
from stream.settings import TopicSettings

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DEAD_LETTER_HEADERS = {
    "topic": "The topic that the record came from.",
    "partition": "Its partition.",
    "offset": "Its offset.",
    "timestamp_ms": "Its timestamp, UTC epoch.",
    "stage": "Where it was refused: decode or validate.",
    "error": "The field, its value, and what is wrong with it.",
    "reason": "One of: " + ", ".join(reason.value for reason in Reason) + ".",
}


def json_schema(record: Any, title: str) -> dict[str, Any]:
    """The JSON Schema of a record type (or a union of them), whole in one document."""
    return {"$schema": _DRAFT, "title": title, **msgspec.json.schema(record)}


def asyncapi(version: str) -> dict[str, Any]:
    """The AsyncAPI 3 document of the topics that the stream reads and writes, by their default names."""
    _, components = msgspec.json.schema_components(
        (PackFrame, CellSample, Prediction, PackRollup, Alert), ref_template="#/components/schemas/{name}"
    )
    topics = TopicSettings()
    of_pack = "The pack's id, so that all its records are in one partition, in order."
    of_cell = "PACK/CELL. The partition is that of the telemetry it came from (counted round, if there are fewer)."
    whose_pack = "The pack's id. The partition is that of its predictions."
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "cyclecast",
            "version": version,
            "description": "Battery life predicted from live BMS telemetry. Topic names are settings; these are the "
            "defaults. `current_a` is positive when charging; times are UTC epoch in milliseconds.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "telemetry": _channel(
                topics.telemetry,
                "What battery management systems report, as JSON, or as the same in msgpack. The header `content-type` "
                "may say which: `application/json` or `application/msgpack`.",
                "PackFrame",
                "CellSample",
            ),
            "predictions": _channel(topics.predictions, "What each cell is and will be.", "Prediction"),
            "packs": _channel(
                topics.packs,
                "Each pack by its cells' newest predictions: compacted, and null once a pack is forgotten.",
                "PackRollup",
            ),
            "alerts": _channel(topics.alerts, "What begins, or ceases, to need a person.", "Alert"),
            "deadLetters": _channel(topics.dead_letters, "Records that could not be used, untouched.", "DeadLetter"),
        },
        "operations": {
            "receiveTelemetry": _operation("receive", "telemetry"),
            "sendPredictions": _operation("send", "predictions"),
            "sendPacks": _operation("send", "packs"),
            "sendAlerts": _operation("send", "alerts"),
            "sendDeadLetters": _operation("send", "deadLetters"),
        },
        "components": {
            "messages": {
                "PackFrame": _message("PackFrame", "All cells of one series string at one instant.", of_pack),
                "CellSample": _message("CellSample", "One cell at one instant.", of_pack),
                "Prediction": _message("Prediction", "One prediction of one cell.", of_cell),
                "PackRollup": _message("PackRollup", "A pack by its cells' newest predictions.", whose_pack),
                "Alert": _message("Alert", "Something that needs a person begins, or is over.", whose_pack),
                "DeadLetter": {
                    "summary": "The original key and bytes; the headers say why.",
                    "headers": {
                        "type": "object",
                        "required": list(_DEAD_LETTER_HEADERS),
                        "properties": {
                            name: {"type": "string", "description": text} for name, text in _DEAD_LETTER_HEADERS.items()
                        },
                    },
                    "payload": {},
                },
            },
            "schemas": components,
        },
    }


def documents(version: str) -> dict[str, dict[str, Any]]:
    """All generated documents by their path under ``docs``."""
    return {
        "schemas/telemetry.json": json_schema(Telemetry, "cyclecast telemetry record, version 1"),
        "schemas/prediction.json": json_schema(Prediction, "cyclecast prediction record, version 1"),
        "schemas/pack.json": json_schema(PackRollup, "cyclecast roll-up of a pack, version 1"),
        "schemas/alert.json": json_schema(Alert, "cyclecast alert, version 1"),
        "asyncapi.json": asyncapi(version),
    }


def _channel(address: str, description: str, *messages: str) -> dict[str, Any]:
    references = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    return {"address": address, "description": description, "messages": references}


def _operation(action: str, channel: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}


def _message(schema: str, summary: str, key: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "payload": {"$ref": f"#/components/schemas/{schema}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": key}}},
    }
