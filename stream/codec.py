"""Bytes to telemetry records, and results to bytes. JSON where no ``content-type`` header says otherwise."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from stream.records import MAX_CELLS, Prediction, Telemetry
from stream.refusal import Reason, Refusal
from stream.seams import Record

JSON = "application/json"
MSGPACK = "application/msgpack"

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]*)`")
_GOT = re.compile(r", got `[^`]*`$")
_EXPECTED = re.compile(r"^Expected `(?P<expected>[^`]*)`(?P<bound>[^,]*)(?:, got `(?P<got>[^`]*)`)?")
_MAX_QUOTE = 80


class Codec:
    """Decodes telemetry, encodes predictions. A record that cannot be decoded becomes a refusal, never an exception."""

    def __init__(self, max_record_bytes: int) -> None:
        self.max_record_bytes = max_record_bytes
        self._decoders: dict[str | None, msgspec.json.Decoder[Telemetry] | msgspec.msgpack.Decoder[Telemetry]] = {
            None: msgspec.json.Decoder(Telemetry),
            JSON: msgspec.json.Decoder(Telemetry),
            MSGPACK: msgspec.msgpack.Decoder(Telemetry),
        }
        self._encoder = msgspec.json.Encoder()

    def decode(self, records: Sequence[Record]) -> tuple[list[Telemetry], list[int], list[Refusal]]:
        """The records that could be read, their positions in ``records``, and a refusal for each of the others."""
        decoded: list[Telemetry] = []
        index: list[int] = []
        refused: list[Refusal] = []
        plain = self._decoders[None].decode
        limit = self.max_record_bytes
        for position, record in enumerate(records):
            value = record.value
            try:
                decode = self._decoders[record.content_type].decode if record.headers else plain
                if value is None or len(value) > limit:
                    refused.append(self._refuse_size(position, value))
                else:
                    decoded.append(decode(value))
                    index.append(position)
            except KeyError:
                known = f"{JSON} or {MSGPACK}"
                error = f"content-type: {record.content_type!r} is not known; send {known}"
                refused.append(Refusal(position, "decode", Reason.UNKNOWN_CONTENT_TYPE, error))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                refused.append(_explain(position, value or b"", record.content_type, error))
        return decoded, index, refused

    def encode(self, prediction: Prediction) -> bytes:
        """A prediction as JSON."""
        return self._encoder.encode(prediction)

    def _refuse_size(self, position: int, value: bytes | None) -> Refusal:
        if value is None:
            return Refusal(position, "decode", Reason.EMPTY, "value: null; a telemetry record carries a JSON object")
        error = f"value: {len(value)} bytes is more than limits.max_record_bytes = {self.max_record_bytes}"
        return Refusal(position, "decode", Reason.TOO_LARGE, error)


def _explain(position: int, value: bytes, content_type: str | None, error: Exception) -> Refusal:
    """The reason, the field and its value, found again in the plain object. Only refused records pay for this."""
    message = str(error)
    found = _PATH.search(message)
    path = found["path"] if found else ""
    what = message[: found.start()] if found else message
    plain = _plain(value, content_type)
    if plain is None:
        return Refusal(position, "decode", Reason.NOT_JSON, f"value: {what}; it begins {_quote(value[:40])}")
    culprit = _first_not_finite(plain, "")
    if culprit is not None and not isinstance(error, msgspec.ValidationError | RecursionError):
        field, number = culprit
        return Refusal(position, "decode", Reason.NOT_FINITE, f"{field}: {number} is not a finite number")
    missing = _MISSING.match(what)
    if missing:
        field = f"{path}.{missing['field']}" if path else missing["field"]
        return Refusal(position, "decode", Reason.MISSING_FIELD, f"{field}: the field is missing")
    field = path or "value"
    what = _GOT.sub("", what)
    return Refusal(
        position, "decode", _reason(field, str(error), plain), f"{field}: {what}, got {_quote(_at(plain, path))}"
    )


def _reason(field: str, what: str, plain: object) -> Reason:
    if what.startswith("Number out of range"):
        return Reason.NOT_FINITE
    if field == "kind":
        return Reason.UNKNOWN_KIND
    if field == "v":
        return Reason.UNSUPPORTED_VERSION
    expected = _EXPECTED.match(what)
    if expected is None or expected["got"] is not None:
        reading = field in ("voltage_v", "current_a") and isinstance(plain, dict) and plain.get(field, 0) is None
        return Reason.INVALID_READING if reading else Reason.WRONG_TYPE
    if field in ("voltage_v", "temp_degc", "cell") and str(MAX_CELLS)[:-1] in expected["bound"]:
        return Reason.TOO_MANY_CELLS
    return Reason.OUT_OF_RANGE


def _plain(value: bytes, content_type: str | None) -> Any:
    try:
        return msgspec.msgpack.decode(value) if content_type == MSGPACK else json.loads(value)
    except (ValueError, RecursionError, msgspec.DecodeError):
        return None


def _first_not_finite(value: object, field: str) -> tuple[str, float] | None:
    if isinstance(value, float) and not math.isfinite(value):
        return field, value
    children: Sequence[tuple[str, object]] = ()
    if isinstance(value, dict):
        children = [(f"{field}.{key}" if field else str(key), child) for key, child in value.items()]
    elif isinstance(value, list):
        children = [(f"{field}[{index}]", child) for index, child in enumerate(value)]
    return next((found for name, child in children if (found := _first_not_finite(child, name))), None)


def _at(plain: object, path: str) -> object:
    """The value at a path such as ``voltage_v[3]``; the whole where the path names nothing."""
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(plain, dict) and part in plain:
            plain = plain[part]
        elif isinstance(plain, list) and part.isdigit() and int(part) < len(plain):
            plain = plain[int(part)]
        else:
            break
    return plain


def _quote(value: object) -> str:
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = repr(value)
    return text if len(text) <= _MAX_QUOTE else f"{text[:_MAX_QUOTE]}..."
