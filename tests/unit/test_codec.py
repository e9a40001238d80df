"""Bad input: each kind of it has its own reason, and an error that names the field and the value."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.codec import Codec
from stream.frames import Frames
from stream.refusal import Reason
from stream.seams import Record

FRAME: dict[str, Any] = {
    "v": 1,
    "kind": "pack",
    "pack_id": "P1",
    "t_ms": 1731000000000,
    "current_a": -12.5,
    "voltage_v": [3.312, 3.313],
    "temp_degc": [25.1],
}
SAMPLE: dict[str, Any] = {**FRAME, "kind": "cell", "cell": 7, "voltage_v": 3.312, "temp_degc": 25.1}
HUGE = 10_000_000
codec = Codec(max_record_bytes=1_000_000)


def frame(**changes: Any) -> bytes:
    return json.dumps({**FRAME, **changes}).encode()


def sample(**changes: Any) -> bytes:
    return json.dumps({**SAMPLE, **changes}).encode()


def assert_same(found: Frames, expected: Frames) -> None:
    """Bit for bit."""
    assert list(found.pack_ids.names()) == list(expected.pack_ids.names())
    for mine, theirs in zip(
        (*found.block, found.pack, found.cell), (*expected.block, expected.pack, expected.cell), strict=True
    ):
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()


def without(field: str, record: dict[str, Any] = FRAME) -> bytes:
    return json.dumps({name: value for name, value in record.items() if name != field}).encode()


BAD = {
    "not json": (b"volts: 3.3", Reason.NOT_JSON, "volts"),
    "empty bytes": (b"", Reason.NOT_JSON, "truncated"),
    "truncated": (frame()[:-20], Reason.NOT_JSON, "truncated"),
    "not utf-8": (b'{"kind":"pack","pack_id":"\xff"}', Reason.NOT_JSON, "0xff"),
    "nested without end": (b"[" * 100_000, Reason.NOT_JSON, "array"),
    "an array": (b"[1]", Reason.WRONG_TYPE, "object"),
    "no kind": (without("kind"), Reason.MISSING_FIELD, "kind"),
    "no pack": (without("pack_id"), Reason.MISSING_FIELD, "pack_id"),
    "no current": (without("current_a", SAMPLE), Reason.MISSING_FIELD, "current_a"),
    "unknown kind": (frame(kind="module"), Reason.UNKNOWN_KIND, "kind: Invalid value 'module'"),
    "other version": (frame(v=2), Reason.UNSUPPORTED_VERSION, "v: Invalid enum value 2"),
    "text for a number": (frame(current_a="12"), Reason.WRONG_TYPE, "current_a: Expected `float`, got '12'"),
    "text in an array": (
        frame(voltage_v=[3.3, "x"]),
        Reason.WRONG_TYPE,
        "voltage_v[1]: Expected `float | null`, got 'x'",
    ),
    "number for an array": (frame(voltage_v=3.3), Reason.WRONG_TYPE, "voltage_v"),
    "time with a fraction": (frame(t_ms=1.5), Reason.WRONG_TYPE, "t_ms"),
    "time beyond 64 bits": (frame(t_ms=2**70), Reason.OUT_OF_RANGE, "t_ms"),
    "NaN": (frame(current_a=float("nan")), Reason.NOT_FINITE, "current_a: nan"),
    "infinity": (frame(voltage_v=[3.3, float("-inf")]), Reason.NOT_FINITE, "voltage_v[1]: -inf"),
    "infinite by exponent": (frame().replace(b"-12.5", b"1e999"), Reason.NOT_FINITE, "current_a"),
    "no reading": (sample(voltage_v=None), Reason.INVALID_READING, "voltage_v: Expected `float`, got None"),
    "10,000 cells": (frame(voltage_v=[3.3] * 10_000), Reason.TOO_MANY_CELLS, "an array of 10000"),
    "cell 1024": (sample(cell=1024), Reason.TOO_MANY_CELLS, "cell: Expected `int` <= 1023, got 1024"),
    "cell -1": (sample(cell=-1), Reason.OUT_OF_RANGE, "cell"),
    "no cells": (frame(voltage_v=[]), Reason.OUT_OF_RANGE, "voltage_v"),
    "no name": (frame(pack_id=""), Reason.OUT_OF_RANGE, "pack_id"),
    "negative cycle": (frame(cycle=-1), Reason.OUT_OF_RANGE, "cycle"),
    "10 MB": (b"x" * HUGE, Reason.TOO_LARGE, "10000000 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_record_is_refused_with_its_reason_field_and_value(name):
    value, reason, said = BAD[name]
    decoded, refused = codec.decode([Record(5, 0, b"k", frame()), Record(6, 0, b"k", value)])
    assert decoded.position.tolist() == [0]
    assert [(refusal.position, refusal.reason) for refusal in refused] == [(1, reason)]
    assert said in refused[0].error
    assert len(refused[0].error) < 300


def test_record_without_value_is_refused():
    assert codec.decode([Record(0, 0, b"k", None)])[1][0].reason is Reason.EMPTY


def test_both_kinds_are_read_and_unknown_fields_are_left_alone():
    decoded, refused = codec.decode([Record(0, 0, None, frame(vendor="x")), Record(1, 0, None, sample())])
    assert not refused
    assert decoded.cell.tolist() == [-1, 7]
    assert decoded.block.cells.tolist() == [2, 1]
    np.testing.assert_array_equal(decoded.block.voltage_v, np.array([3.312, 3.313, 3.312], np.float32))


def test_content_type_chooses_the_codec():
    packed = msgspec.msgpack.encode(FRAME)
    headers = (("content-type", b"application/msgpack"),)
    from_msgpack, refused = codec.decode([Record(0, 0, None, packed, headers)])
    assert not refused
    assert_same(from_msgpack, codec.decode([Record(0, 0, None, frame())])[0])
    refused = codec.decode([Record(0, 0, None, packed, (("content-type", b"application/json"),))])[1]
    assert refused[0].reason is Reason.NOT_JSON
    refused = codec.decode([Record(0, 0, None, frame(), headers)])[1]
    assert refused[0].reason is Reason.NOT_JSON


@pytest.mark.parametrize("changes", [{}, {"vendor": "x"}, {"kind": "module"}, {"note": "x" * 70_000}])
@pytest.mark.parametrize("headers", [(), (("trace", b"x"),)])
def test_without_a_content_type_a_map_of_msgpack_is_known_by_how_it_begins(changes, headers):
    packed = msgspec.msgpack.encode({**FRAME, **changes})
    said = (*headers, ("content-type", b"application/msgpack"))
    found, refused = codec.decode([Record(0, 0, None, packed, headers)])
    expected, why = codec.decode([Record(0, 0, None, packed, said)])
    assert_same(found, expected)
    assert refused == why
    assert len(found.position) == ("kind" not in changes)


def test_refusal_of_a_record_is_the_same_each_time_whatever_it_holds():
    packed = msgspec.msgpack.encode({**FRAME, "voltage_v": [3.3, msgspec.msgpack.Ext(5, b"x")]})
    record = Record(0, 0, None, packed, (("content-type", b"application/msgpack"),))
    (refused,), (again,) = codec.decode([record])[1], codec.decode([record])[1]
    assert refused == again
    assert refused.error == "voltage_v[1]: Expected `float | null`, got an extension of type 5"


def test_unknown_content_type_is_refused_by_name():
    refused = codec.decode([Record(0, 0, None, frame(), (("content-type", b"text/xml"),))])[1]
    assert refused[0].reason is Reason.UNKNOWN_CONTENT_TYPE
    assert "text/xml" in refused[0].error
