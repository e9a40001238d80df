"""The compiled scan of msgpack and the general decoder are one, whatever bytes come."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream import row
from stream.codec import MSGPACK, Codec
from stream.frames import Frames, frames_of
from stream.records import MAX_CELLS, Telemetry
from stream.seams import Record
from tests.packing import single, sized
from tests.property.test_scan import assert_same, read, renumbered

codec = Codec(max_record_bytes=30_000)
decode = msgspec.msgpack.Decoder(Telemetry).decode
HEADERS = (("content-type", MSGPACK),)

FRAME: dict[str, Any] = {
    "v": 1,
    "kind": "pack",
    "pack_id": "P1",
    "cell": 7,
    "t_ms": 1731000000000,
    "current_a": -12.5,
    "voltage_v": [3.312, None, 3.3],
    "temp_degc": [25.1],
    "cycle": 3,
    "capacity_ah": 1.1,
    "nominal_capacity_ah": 50.0,
    "soc_pct": 55,
    "late": True,
}
SAMPLE = {**FRAME, "kind": "cell", "voltage_v": 3.312, "temp_degc": 25.1}


NUMBERS = st.one_of(
    st.floats(width=64).map(lambda number: struct.pack(">Bd", 0xCB, number)),
    st.floats(width=32).map(lambda number: struct.pack(">Bf", 0xCA, number)),
    st.floats(0, 5).map(single),
    st.integers(-(2**63), 2**64 - 1).map(msgspec.msgpack.encode),
    st.integers(-3, 1100).map(msgspec.msgpack.encode),
    st.sampled_from([2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**31 - 1, 2**31, MAX_CELLS]).map(
        msgspec.msgpack.encode
    ),
    # Integers in more bytes than they need.
    st.tuples(st.sampled_from("bhiq"), st.integers(-128, 127)).map(
        lambda drawn: struct.pack(f">B{drawn[0]}", 0xD0 + "bhiq".index(drawn[0]), drawn[1])
    ),
    st.tuples(st.sampled_from("BHIQ"), st.integers(0, 255)).map(
        lambda drawn: struct.pack(f">B{drawn[0]}", 0xCC + "BHIQ".index(drawn[0]), drawn[1])
    ),
)
OTHERS = st.one_of(
    st.sampled_from([None, True, "3.3", b"\0\0\x50\x40", [], {}, [3.3], msgspec.msgpack.Ext(1, b"x")]).map(
        msgspec.msgpack.encode
    ),
    st.sampled_from(["P1", "P2", "pack", "cell", "module", "", "Z\u00e4hler", "a\tb", '"', "\x7f"]).map(
        msgspec.msgpack.encode
    ),
    st.integers(255, 257).map(lambda count: msgspec.msgpack.encode("x" * count)),
    st.just(b"\xd9\x02P1"),
    st.just(b"\xda\x00\x02P1"),
    st.just(b"\xda\x00\x00"),
)
LISTS = st.one_of(
    st.lists(st.one_of(NUMBERS, st.just(b"\xc0"), OTHERS), max_size=20).flatmap(
        lambda items: st.sampled_from(
            [
                sized(0x90, 0xDC, len(items)),
                struct.pack(">BH", 0xDC, len(items)),
                struct.pack(">BI", 0xDD, len(items)),
                struct.pack(">BH", 0xDC, len(items) + 1),
            ]
        ).map(lambda head: head + b"".join(items))
    ),
    st.integers(MAX_CELLS - 1, MAX_CELLS + 1).map(lambda count: single([3.3] * count)),
)
VALUES = st.one_of(NUMBERS, LISTS, OTHERS)


@st.composite
def maps(draw: Any) -> bytes:
    """Maps that are telemetry, nearly telemetry, or were once."""
    pack = draw(st.sampled_from([single, msgspec.msgpack.encode]))
    chosen = draw(st.sampled_from([FRAME, SAMPLE]))
    fields = [(pack(name), pack(value)) for name, value in chosen.items()]
    fields = draw(st.permutations(fields)) if draw(st.booleans()) else fields
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(fields) - 1))
        fields[at] = (fields[at][0], draw(VALUES))
    if draw(st.integers(0, 3)) == 0:
        fields.append(draw(st.sampled_from(fields)))
    if draw(st.booleans()):
        del fields[draw(st.integers(0, len(fields) - 1))]
    if draw(st.integers(0, 3)) == 0:
        name = pack(draw(st.sampled_from(["vendor", "voltage_x", "", "Z\u00e4hler", "x" * 40, "cell", "v", 3, b"v"])))
        fields.insert(draw(st.integers(0, len(fields))), (name, draw(VALUES)))
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(fields) - 1))
        name = fields[at][0]
        fields[at] = (bytes([0xD9, len(name) - 1]) + name[1:], fields[at][1])
    size = len(fields) + draw(st.sampled_from([0] * 8 + [-1, 1]))
    head = draw(
        st.sampled_from([sized(0x80, 0xDE, size)] * 3 + [struct.pack(">BH", 0xDE, size), b"\xdf\0\0\0" + bytes([size])])
    )
    return mangled(draw, head + b"".join(name + value for name, value in fields))


def mangled(draw: Any, whole: bytes) -> bytes:
    value = bytearray(whole)
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(value) - 1))
        match draw(st.sampled_from(["replace", "remove", "insert", "cut", "append"])):
            case "replace":
                value[at] = draw(st.integers(0, 255))
            case "remove":
                del value[at]
            case "insert":
                value.insert(at, draw(st.integers(0, 255)))
            case "cut":
                del value[at:]
            case "append":
                value.append(draw(st.sampled_from([0, 0xC0])))
    return bytes(value)


def general(values: list[bytes]) -> tuple[Frames, list[int]]:
    """What the general decoder makes of each value, and the positions of those that it refuses."""
    decoded, taken, refused = [], [], []
    for position, value in enumerate(values):
        try:
            decoded.append(decode(value))
            taken.append(position)
        except (msgspec.DecodeError, UnicodeDecodeError):
            refused.append(position)
    return frames_of(decoded, taken), refused


def alike(frames: Frames) -> Frames:
    """With one and the same NaN: no number is any other NaN than another."""
    floats = {
        name: np.where(np.isnan(column), np.float32(math.nan), column)
        for name, column in frames.block._asdict().items()
        if column.dtype == np.float32
    }
    return renumbered(frames._replace(block=frames.block._replace(**floats)))


def sent(values: list[bytes]) -> list[Record]:
    return [Record(at, 0, None, value, HEADERS) for at, value in enumerate(values)]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(maps(), maps(), maps(), st.binary(max_size=40)), max_size=6))
@example([b"", b"\x80", b"\xde", b"\xde\xff", b"\x81\xa7pack_id\xda\xff\xff"])
@example([single({**FRAME, "voltage_v": [3.3]})[:-1]])
def test_scan_and_general_decoder_give_the_same_columns_and_refuse_the_same(values):
    expected, refused = general(values)
    frames, refusals = codec.decode(sent(values))
    assert_same(alike(frames), alike(expected))
    assert [refusal.position for refusal in refusals] == refused
    for refusal in refusals:
        assert codec.decode(sent([values[refusal.position]]))[1] == [refusal._replace(position=0)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(NUMBERS, st.just(b"\xc0")), min_size=1, max_size=40))
def test_scan_reads_numbers_to_the_last_bit(numbers):
    head = {name: FRAME[name] for name in ("kind", "pack_id", "t_ms", "current_a")}
    value = b"\x85" + msgspec.msgpack.encode(head)[1:] + msgspec.msgpack.encode("voltage_v")
    value += sized(0x90, 0xDC, len(numbers)) + b"".join(numbers)
    frames, refusals = codec.decode(sent([value]))
    assert not refusals
    assert_same(alike(frames), alike(frames_of([decode(value)])))


def test_plain_records_are_read_by_the_scan_and_not_by_the_general_decoder():
    for plain in (FRAME, SAMPLE):
        needed = ("kind", "pack_id", "cell", "t_ms", "current_a", "voltage_v")
        short = {name: value for name, value in plain.items() if name in needed}
        empty = {name: None if name in ("temp_degc", "cycle", "soc_pct") else value for name, value in plain.items()}
        many = {**FRAME, "voltage_v": [3.3] * MAX_CELLS, "temp_degc": []}
        values = [pack(each) for pack in (single, msgspec.msgpack.encode) for each in (plain, short, empty, many)]
        assert read(*values).position.tolist() == list(range(8))


def test_fields_of_ones_own_are_passed_over_by_the_scan():
    for own in ("x", "", -1.5, 2**40, True, None, [], [1, "a", None, False]):
        record = msgspec.msgpack.encode({"vendor": own, **FRAME, "other": own})
        assert read(record).position.tolist() == [0]
        assert_same(read(record), frames_of([decode(record)]))


def test_four_bytes_a_reading_give_what_json_gives():
    for plain in (FRAME, SAMPLE):
        from_json, refused = codec.decode([Record(0, 0, None, msgspec.json.encode(plain))])
        assert not refused
        assert_same(read(single(plain)), from_json)


def test_formats_may_be_mixed_in_a_batch_and_records_stay_in_order():
    frames = [{**FRAME, "pack_id": f"P{at % 3}", "t_ms": at} for at in range(12)]
    forms = [
        lambda frame: (msgspec.json.encode(frame), ()),
        lambda frame: (single(frame), HEADERS if frame["t_ms"] % 8 == 1 else ()),
        lambda frame: (msgspec.msgpack.encode({**frame, "vendor": "x"}), HEADERS),
        lambda frame: (msgspec.json.encode(frame), (("trace", b"x"), ("content-type", b"application/json"))),
    ]
    records = [Record(at, 0, None, *forms[at % 4](frame)) for at, frame in enumerate(frames)]
    found, refused = codec.decode(records)
    assert not refused
    assert found.position.tolist() == found.block.t_ms.tolist() == list(range(12))
    assert [found.pack_ids.name(number) for number in found.pack] == [frame["pack_id"] for frame in frames]
    assert set(FRAME) == set(row.FIELDS)
