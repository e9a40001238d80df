"""The compiled scan and the general decoder are one: the same columns bit for bit, and the same refusals."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stream import records, row
from stream.codec import Codec
from stream.frames import Frames, frames_of
from stream.pack_ids import PackIds
from stream.records import MAX_CELLS, Telemetry
from stream.scan import scan
from stream.seams import Record

codec = Codec(max_record_bytes=30_000)
decode = msgspec.json.Decoder(Telemetry).decode

NUMBERS = st.one_of(
    st.floats(width=64).map(json.dumps),
    st.floats(-1000, 1000).map(lambda number: json.dumps(round(number, 3))),
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-3, 1100).map(str),
    st.sampled_from(
        ["-0", "-0.0", "0e5", "1E+5", "1.5e-7", "01", "1.", ".5", "+1", "1e", "1e22", "9e22", "1e23", "1e999"]
    ),
    st.sampled_from(
        ["9007199254740992", "9007199254740993", "900719925474099.3", "3.3000000000000003", "0.00000000000000000001"]
    ),
    st.sampled_from(["null", "true", '"3.3"', "[]", "[3.3]", "{}", "NaN", "1731000000000", "2147483647", "2147483648"]),
)
LISTS = st.one_of(
    st.lists(st.one_of(NUMBERS, st.floats(0, 5).map(lambda number: json.dumps(round(number, 3)))), max_size=6),
    st.integers(MAX_CELLS - 1, MAX_CELLS + 1).map(lambda count: ["3.3"] * count),
).flatmap(lambda items: st.sampled_from([",", ", ", ",  ", " ,"]).map(lambda comma: f"[{comma.join(items)}]"))
TEXTS = st.one_of(
    st.sampled_from(
        ['"P1"', '"P2"', '"pack"', '"cell"', '"module"', '"\\u0050"', '"Z\u00e4hler"', '"a\tb"', '""', '"\x7f"']
    ),
    st.integers(255, 257).map(lambda count: json.dumps("x" * count)),
    st.text(max_size=5).map(json.dumps),
)
PLAIN = {
    "v": "1",
    "kind": '"pack"',
    "pack_id": '"P1"',
    "cell": "7",
    "t_ms": "1731000000000",
    "current_a": "-12.5",
    "voltage_v": "[3.312,null,3.3]",
    "temp_degc": "[25.1]",
    "cycle": "3",
    "capacity_ah": "1.1",
    "nominal_capacity_ah": "50.0",
    "soc_pct": "55",
    "late": "true",
}
SINGLE = {**PLAIN, "kind": '"cell"', "voltage_v": "3.312", "temp_degc": "25.1"}
VALUES = st.one_of(NUMBERS, LISTS, TEXTS)


def read(*values: bytes) -> Frames:
    """The plain ones."""
    return scan(values)


@st.composite
def objects(draw: Any) -> bytes:
    """JSON objects that are telemetry, nearly telemetry, or were once."""
    fields = list(draw(st.sampled_from([PLAIN, SINGLE])).items())
    fields = draw(st.permutations(fields)) if draw(st.booleans()) else fields
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(fields) - 1))
        name, _ = fields[at]
        fields[at] = (name, draw(VALUES))
    if draw(st.integers(0, 3)) == 0:
        fields.append(draw(st.sampled_from(fields)))
    if draw(st.booleans()):
        del fields[draw(st.integers(0, len(fields) - 1))]
    if draw(st.booleans()):
        own = st.sampled_from(["vendor", "voltage_x", "", "Z\u00e4hler", "a b", "v", "cell", "\\u0076", "t_ms "])
        fields.insert(draw(st.integers(0, len(fields))), (draw(own), draw(VALUES)))
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (",\n  ", ": "), (",  ", ":"), (" ,", " :")]))
    text = "{" + comma.join(f'"{name}"{colon}{value}' for name, value in fields) + "}"
    value = bytearray(text.encode())
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(value) - 1))
        match draw(st.sampled_from(["replace", "remove", "insert", "cut"])):
            case "replace":
                value[at] = draw(st.integers(0, 255))
            case "remove":
                del value[at]
            case "insert":
                value.insert(at, draw(st.sampled_from(b' \t\n\r",:{}[]-.e0\\\xc3')))
            case "cut":
                del value[at:]
    return bytes(value)


def assert_same(found: Frames, expected: Frames) -> None:
    assert list(found.pack_ids.names()) == list(expected.pack_ids.names())
    pairs = zip((*found.block, *found[1:2], *found[3:]), (*expected.block, *expected[1:2], *expected[3:]), strict=True)
    for mine, theirs in pairs:
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()


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


@settings(max_examples=300, deadline=None)
@given(st.lists(objects(), max_size=6))
def test_scan_and_general_decoder_give_the_same_columns_and_refuse_the_same(values):
    expected, refused = general(values)
    frames, refusals = codec.decode([Record(at, 0, None, value) for at, value in enumerate(values)])
    assert_same(renumbered(frames), renumbered(expected))
    assert [refusal.position for refusal in refusals] == refused
    for refusal in refusals:
        alone = codec.decode([Record(0, 0, None, values[refusal.position])])[1]
        assert [refusal._replace(position=0)] == alone


def renumbered(frames: Frames) -> Frames:
    """Pack ids in the order of their first frame, whoever read it."""
    names = [frames.pack_ids.name(number) for number in frames.pack.tolist()]
    order = list(dict.fromkeys(names))
    return frames._replace(pack_ids=PackIds.of(order), pack=np.array([order.index(name) for name in names], np.int64))


@st.composite
def decimals(draw: Any) -> str:
    """Numbers of up to 18 digits, as they may be written; none lies midway between two doubles."""
    digits = str(draw(st.integers(0, 2**53) | st.integers(0, 10**18 - 1)))
    places = draw(st.integers(0 if int(digits) <= 2**53 else 1, len(digits) - 1))
    text = digits if not places else f"{digits[:-places]}.{digits[-places:]}"
    if draw(st.booleans()):
        most = 22 - places if int(digits) <= 2**53 else 0
        text += f"{draw(st.sampled_from('eE'))}{draw(st.sampled_from(['', '+', '-']))}{draw(st.integers(0, most))}"
    assume(not midway(text))
    return text if float(text) == 0 else draw(st.sampled_from(["", "-"])) + text


def midway(text: str) -> bool:
    """Whether a number, none below zero, lies as far from one double as from the next."""
    nearest = float(text)
    others = (math.nextafter(nearest, 0.0), math.nextafter(nearest, math.inf))
    return any(2 * Fraction(text) == Fraction(nearest) + Fraction(other) for other in others)


@settings(max_examples=300, deadline=None)
@given(st.lists(decimals(), min_size=1, max_size=40))
def test_scan_reads_numbers_to_the_last_bit(numbers):
    text = f'{{"kind":"pack","pack_id":"P","t_ms":1,"current_a":{numbers[0]},"voltage_v":[{",".join(numbers)}]}}'
    frames = read(text.encode())
    assert frames.position.tolist() == [0]
    assert frames.block.voltage_v.tobytes() == np.array([float(each) for each in numbers]).astype(np.float32).tobytes()


def test_a_number_midway_between_two_doubles_is_left_to_the_general_decoder():
    text = '{"kind":"pack","pack_id":"P","t_ms":1,"current_a":7205759403792793.5,"voltage_v":[3.5]}'
    assert midway("7205759403792793.5")
    assert read(text.encode()).position.tolist() == []
    frames, refused = codec.decode([Record(0, 0, None, text.encode())])
    assert not refused
    assert frames.block.current_a.tolist() == [np.float32(7205759403792793.5)]


def test_doubles_as_python_writes_them_are_read_to_the_last_bit():
    rng = np.random.default_rng(7)
    raw = [*(rng.integers(0, 50_000, 4000) * 0.0001), *rng.uniform(0, 5, 4000), *rng.uniform(-1e-4, 1e4, 4000)]
    raw += rng.uniform(2, 70, 4000).astype(np.float32).tolist()
    for numbers in np.array(raw).reshape(-1, 1000).tolist():
        text = json.dumps({"kind": "pack", "pack_id": "P", "t_ms": 1, "current_a": numbers[0], "voltage_v": numbers})
        frames = read(text.encode())
        assert frames.position.tolist() == [0]
        assert frames.block.voltage_v.tobytes() == np.array(numbers).astype(np.float32).tobytes()


def test_plain_records_are_read_by_the_scan_and_not_by_the_general_decoder():
    for plain in (PLAIN, SINGLE):
        for comma, colon in ((",", ":"), (", ", ": ")):
            whole = list(plain.items())
            short = [each for each in whole if each[0] in ("kind", "pack_id", "cell", "t_ms", "current_a", "voltage_v")]
            empty = [(name, "null" if name in ("temp_degc", "cycle", "soc_pct") else value) for name, value in whole]
            values = [
                ("{" + comma.join(f'"{name}"{colon}{value}' for name, value in fields) + "}").encode()
                for fields in (whole, short, empty, whole[::-1])
            ]
            assert read(*values).position.tolist() == [0, 1, 2, 3]


def test_fields_of_ones_own_are_passed_over_by_the_scan():
    for value in ('"x"', '""', "-1.5e3", "true", "false", "null", "[]", '[1, "a",null,true]'):
        fields = [("vendor", value), *PLAIN.items(), ("vendor", value)]
        text = ("{" + ",".join(f'"{key}":{each}' for key, each in fields) + "}").encode()
        assert read(text).position.tolist() == [0]
        assert_same(read(text), frames_of([decode(text)]))


def test_repeated_field_is_left_to_the_general_decoder():
    for name, value in [*PLAIN.items(), ("voltage_v", "[3.1]"), ("temp_degc", "[]")]:
        fields = [*PLAIN.items(), (name, value)]
        text = ("{" + ",".join(f'"{key}":{each}' for key, each in fields) + "}").encode()
        assert read(text).position.tolist() == []
        assert_same(codec.decode([Record(0, 0, None, text)])[0], frames_of([decode(text)]))


def test_limits_of_the_scan_are_those_of_the_records():
    assert row.MAX_CELLS == records.MAX_CELLS
    bounds = {
        "pack_id": json.dumps("x" * row.MAX_ID_BYTES),
        "t_ms": str(row.MAX_EXACT),
        "cycle": str(row.MAX_CYCLE),
        "cell": str(MAX_CELLS - 1),
    }
    for name, largest in bounds.items():
        beyond = largest[:-1] + 'x"' if name == "pack_id" else str(int(largest) + 1)
        for value, good in ((largest, True), (beyond, False)):
            text = ("{" + ",".join(f'"{key}":{each}' for key, each in {**SINGLE, name: value}.items()) + "}").encode()
            assert len(read(text).position) == good
            assert len(codec.decode([Record(0, 0, None, text)])[0].position) == good
    assert set(PLAIN) == set(row.FIELDS)
