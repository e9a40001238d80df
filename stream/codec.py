"""Bytes to telemetry records, and results to bytes.

The ``content-type`` header says what a record is. Without it a record that begins as a map of msgpack does is msgpack,
for no JSON can, and any other is JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from stream import scan
from stream.frames import Frames, frames_of, merged
from stream.records import MAX_CELLS, Alert, PackRollup, Prediction, Telemetry
from stream.refusal import Reason, Refusal
from stream.seams import Received

JSON = b"application/json"
MSGPACK = b"application/msgpack"
_FORMS = {None: scan.ANY, JSON: scan.JSON, MSGPACK: scan.MSGPACK}
_MAPS = frozenset(
    (*range(0x80, 0x90), 0xDE, 0xDF)
)  # first bytes of a map of msgpack: JSON is UTF-8, which has none there

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]*)`")
_GOT = re.compile(r", got `[^`]*`$")
_EXPECTED = re.compile(r"^Expected `(?P<expected>[^`]*)`(?P<bound>[^,]*)(?:, got `(?P<got>[^`]*)`)?")
_MAX_QUOTE = 80


class Codec:
    """Decodes telemetry, encodes results. A record that cannot be decoded becomes a refusal, never an exception."""

    def __init__(self, max_record_bytes: int) -> None:
        self.max_record_bytes = max_record_bytes
        self._decoders: dict[bytes, msgspec.json.Decoder[Telemetry] | msgspec.msgpack.Decoder[Telemetry]] = {
            JSON: msgspec.json.Decoder(Telemetry),
            MSGPACK: msgspec.msgpack.Decoder(Telemetry),
        }
        self._encoder = msgspec.json.Encoder()
        self._predictions = msgspec.json.Decoder(Prediction)

    def decode(self, records: Sequence[Received]) -> tuple[Frames, list[Refusal]]:
        """The records that could be read, as columns, and a refusal for each of the others."""
        limit = self.max_record_bytes
        values = [value if (value := record.value) is not None and len(value) <= limit else b"" for record in records]
        form = np.zeros(len(records), np.uint8)
        for position, record in enumerate(records):
            if record.headers:
                known = _FORMS.get(_said(record))
                form[position] = known or scan.ANY
                values[position] = b"" if known is None else values[position]
        frames = scan.scan(values, form)
        if len(frames.position) == len(records):
            return frames, []
        rest, refused = self._one_by_one(records, np.delete(np.arange(len(records)), frames.position).tolist())
        return merged(frames, rest), refused

    def read(self, record: Received) -> Telemetry:
        """One record by itself, of those that `decode` could read."""
        return self._decoders[_content_type(record)].decode(record.value or b"")

    def _one_by_one(self, records: Sequence[Received], positions: Sequence[int]) -> tuple[Frames, list[Refusal]]:
        """What is not plain JSON, or wrong."""
        decoded: list[Telemetry] = []
        taken: list[int] = []
        refused: list[Refusal] = []
        for position in positions:
            record = records[position]
            value, content_type = record.value, _content_type(record)
            decoder = self._decoders.get(content_type)
            if decoder is None:
                known = f"{JSON.decode()} or {MSGPACK.decode()}"
                name = content_type.decode("latin-1")
                error = f"content-type: {name!r} is not known; send {known}"
                refused.append(Refusal(position, "decode", Reason.UNKNOWN_CONTENT_TYPE, error))
            elif value is None or len(value) > self.max_record_bytes:
                refused.append(self._refuse_size(position, value))
            else:
                try:
                    decoded.append(decoder.decode(value))
                    taken.append(position)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as why:
                    refused.append(_explain(position, value, content_type, why))
        return frames_of(decoded, taken), refused

    def encode(self, record: Prediction | Alert | PackRollup) -> bytes:
        """A record that is published, as JSON."""
        return self._encoder.encode(record)

    def prediction(self, encoded: bytes | None) -> Prediction:
        """A prediction again, from what `encode` wrote."""
        return self._predictions.decode(encoded or b"")

    def _refuse_size(self, position: int, value: bytes | None) -> Refusal:
        if value is None:
            return Refusal(position, "decode", Reason.EMPTY, "value: null; a telemetry record carries a JSON object")
        error = f"value: {len(value)} bytes is more than limits.max_record_bytes = {self.max_record_bytes}"
        return Refusal(position, "decode", Reason.TOO_LARGE, error)


def _content_type(record: Received) -> bytes:
    said = _said(record)
    if said is None:
        return MSGPACK if record.value and record.value[0] in _MAPS else JSON
    return said


def _said(record: Received) -> bytes | None:
    for name, value in record.headers:
        if name == "content-type":
            return value
    return None


def _explain(position: int, value: bytes, content_type: bytes, error: Exception) -> Refusal:
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


def _plain(value: bytes, content_type: bytes) -> Any:
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
    if isinstance(value, msgspec.msgpack.Ext):
        return f"an extension of type {value.code}"
    text = repr(value)
    return text if len(text) <= _MAX_QUOTE else f"{text[:_MAX_QUOTE]}..."
