"""The pages that cell state is kept in: what is on each, and the bytes that it becomes in a compacted topic.

A value is a checksum and a MessagePack array (``version``, then the page's fields in order). A page that is damaged, or
of a version or a step kind that this program does not know, is refused and never guessed at.
"""

from __future__ import annotations

import zlib

import msgspec

from model.state import Part
from stream.errors import Fatal
from stream.outlook import Kept
from stream.score import Cell, Followed

VERSION = 1
CHECKSUM_BYTES = 4


class PageError(Fatal):
    """A page cannot be used; says which and what to do."""


class Mark(msgspec.Struct, frozen=True, array_like=True, tag="mark", gc=False):
    """The pages and the records from ``offset`` on give the whole state. ``arrived_ms``: the newest arrival by then."""

    lineage: int
    layout: str
    offset: int
    arrived_ms: int


class Head(msgspec.Struct, frozen=True, array_like=True, tag="head", gc=False):
    """A pack's cells: how many a frame has, or the numbers of those that report by themselves, in order of coming, and
    the offsets of the records that they came with.
    """

    lineage: int
    life: int
    seen_ms: int
    first_step: int
    cells: int
    numbers: list[int] | None
    born_at: list[int] | None


class Gone(msgspec.Struct, frozen=True, array_like=True, tag="gone", gc=False):
    """All that is left of a pack that fell silent: the number of its last step."""

    lineage: int
    life: int
    last_step: int


class Arrays(msgspec.Struct, frozen=True, array_like=True, tag="arrays", gc=False):
    """A part of the state of ``count`` cells at ``offset``, as ``layout`` says (`model.state.StepState.layout`).

    ``first`` counts cells in their order in the pack. ``numbers`` are theirs where they report by themselves; in
    frames, of ``cells`` cells, none. ``body``: what `StepState.dump` gives, compressed.
    """

    lineage: int
    life: int
    seen_ms: int
    first_step: int
    layout: str
    offset: int
    cells: int
    numbers: list[int] | None
    first: int
    count: int
    body: bytes


class Learned(msgspec.Struct, frozen=True, array_like=True, tag="learned", gc=False):
    """How wide measured capacities made the intervals: `model.adaptive.Width.level`."""

    lineage: int
    level: float


class Watched(msgspec.Struct, frozen=True, array_like=True, tag="watched"):
    """A cell whose predictions are held against measured capacities: some hundred bytes."""

    lineage: int
    cell: Followed


class Seen(msgspec.Struct, frozen=True, array_like=True, tag="seen", gc=False):
    """How a pack looks by its newest predictions: some 45 bytes a cell."""

    lineage: int
    pack: Kept


class Published(msgspec.Struct, frozen=True, array_like=True, tag="published", gc=False):
    """What came of all records before ``offset`` is published: the group's committed offset, kept a second time.

    It is no part of the state, and of no lineage.
    """

    offset: int


Page = Mark | Head | Gone | Arrays | Learned | Watched | Seen
PUBLISHED_KEY = b"published"

MARK_KEY, LEARNED_KEY = b"mark", b"learned"
_WATCHED, _SEEN = "watched/", "seen:"
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, Page | Published])


def head_key(pack_id: str) -> bytes:
    """The key of a pack's `Head` or `Gone`."""
    return f"head:{pack_id}".encode()


def arrays_key(pack_id: str, part: Part, chunk: int, block: int = 0) -> bytes:
    """The key of a pack's `Arrays`: which part of the state, of which cells, and which stretch of the ring."""
    return f"{part}/{chunk}/{block}:{pack_id}".encode()


def watched_key(cell: Cell) -> bytes:
    """The key of a cell's `Watched`."""
    return f"{_WATCHED}{cell[1]}:{cell[0]}".encode()


def cell_of(key: bytes) -> Cell | None:
    """The cell of a `watched_key`; none of any other key."""
    number, _, pack_id = key.decode().partition(":")
    return (pack_id, int(number.removeprefix(_WATCHED))) if number.startswith(_WATCHED) else None


def seen_key(pack_id: str) -> bytes:
    """The key of a pack's `Seen`."""
    return f"{_SEEN}{pack_id}".encode()


def is_seen(key: bytes) -> bool:
    """Whether it is a `seen_key`."""
    return key.startswith(_SEEN.encode())


def pack_of(key: bytes) -> str:
    """The pack id of a key."""
    return key.decode().partition(":")[2]


def part_of(key: bytes) -> tuple[Part, int]:
    """The part and the block of an `arrays_key`."""
    part, _, block = key.decode().partition(":")[0].split("/")
    return Part(part), int(block)


def encode(page: Page | Published) -> bytes:
    """The page as a value of the topic."""
    content = _encoder.encode((VERSION, page))
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little") + content


def decode(value: bytes) -> Page | Published:
    """The page of a value. Raises `PageError` where it is damaged or of another version."""
    content = value[CHECKSUM_BYTES:]
    if len(value) <= CHECKSUM_BYTES or zlib.crc32(content) != int.from_bytes(value[:CHECKSUM_BYTES], "little"):
        raise PageError("is damaged: its checksum does not fit")
    try:
        version, page = _decoder.decode(content)
    except msgspec.DecodeError as error:
        raise PageError(f"cannot be read by this version of cyclecast: {error}") from None
    if version != VERSION:
        raise PageError(f"is of version {version}; this version of cyclecast reads version {VERSION}")
    return page
