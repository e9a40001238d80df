from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from model.tensorboard import EventFile, crc32c, masked


def _event_class() -> Any:
    """TensorBoard's ``Event`` as its .proto files state it, as far as scalars need it."""
    types = FieldDescriptorProto
    file = FileDescriptorProto(name="event.proto", package="tensorboard", syntax="proto3")
    for message, fields in {
        "Value": [("tag", 1, types.TYPE_STRING, ""), ("simple_value", 2, types.TYPE_FLOAT, "")],
        "Summary": [("value", 1, types.TYPE_MESSAGE, ".tensorboard.Value")],
        "Event": [
            ("wall_time", 1, types.TYPE_DOUBLE, ""),
            ("step", 2, types.TYPE_INT64, ""),
            ("file_version", 3, types.TYPE_STRING, ""),
            ("summary", 5, types.TYPE_MESSAGE, ".tensorboard.Summary"),
        ],
    }.items():
        descriptor = DescriptorProto(name=message)
        for name, number, kind, type_name in fields:
            label = types.LABEL_REPEATED if name == "value" else types.LABEL_OPTIONAL
            descriptor.field.add(name=name, number=number, type=kind, label=label, type_name=type_name or None)
        file.message_type.append(descriptor)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("tensorboard.Event"))


EVENT = _event_class()


def events_in(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Step and scalars of all events in the folder's files, in their order, every checksum verified."""
    found = []
    for path in sorted(folder.iterdir()):
        content, at, events = path.read_bytes(), 0, []
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            record = content[at + 12 : at + 12 + size]
            assert struct.unpack_from("<I", content, at + 8) == (masked(content[at : at + 8]),)
            assert struct.unpack_from("<I", content, at + 12 + size) == (masked(record),)
            events.append(EVENT.FromString(record))
            at += size + 16
        assert events[0].file_version == "brain.Event:2"
        found += [
            (event.step, {value.tag: value.simple_value for value in event.summary.value}) for event in events[1:]
        ]
    return found


def test_checksums_are_those_of_the_standard() -> None:
    """RFC 3720, appendix B.4, and the usual check string."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_the_first_record_is_what_tensorboard_itself_writes(tmp_path: Path) -> None:
    content = EventFile(tmp_path, 1_700_000_000.0, goes_on=False).path.read_bytes()
    assert EVENT.FromString(content[12:-4]).wall_time == 1_700_000_000.0


def test_scalars_come_back_with_their_steps(tmp_path: Path) -> None:
    file = EventFile(tmp_path, 1.0, goes_on=False)
    file.add(0, {"loss": 0.5, "a/b": -1e-9})
    file.add(300, {"loss": float("inf")})
    again = EventFile(tmp_path, 2.0, goes_on=True)
    again.add(70_000, {"loss": 0.25})
    assert events_in(tmp_path) == [
        (0, {"loss": 0.5, "a/b": pytest.approx(-1e-9)}),
        (300, {"loss": float("inf")}),
        (70_000, {"loss": 0.25}),
    ]
    EventFile(tmp_path, 3.0, goes_on=False)
    assert events_in(tmp_path) == []
