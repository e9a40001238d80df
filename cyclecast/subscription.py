"""From a topic to lines: for people, or as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Literal, NamedTuple

import msgspec
import typer

from cyclecast.commands.output import reader_left
from stream.kafka.subscribe import subscribe
from stream.settings import Settings


class Lines(NamedTuple):
    """How the records of a topic read: what stands above them, a value decoded (it has a ``pack_id``), and its line."""

    header: str
    decode: Callable[[bytes], Any]
    line: Callable[[Any], str]


class _Named(msgspec.Struct):
    """What a record is chosen by; the rest of it may be of another version."""

    pack_id: str


_named = msgspec.json.Decoder(_Named).decode


def read(record: Any, decode: Callable[[bytes], Any]) -> Any | None:
    """A record's value, or ``None``: where it has none, and where this version cannot read it, which is said."""
    if record.value is None:
        return None
    try:
        return decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        typer.echo(f"{record.topic} {record.partition}:{record.offset} is left out: {error}", err=True)
        return None


def as_published(record: Any) -> str:
    """A record's value as it came, with fields that this version does not know."""
    return str(record.value.decode("utf-8", "backslashreplace"))


async def follow(
    settings: Settings,
    topic: str,
    lines: Lines,
    since: Literal["earliest", "latest"],
    *,
    pack: str | None,
    as_json: bool,
    until_idle_s: float | None,
) -> None:
    """Prints until cancelled, or until nothing arrived for ``until_idle_s``."""
    loop = asyncio.get_running_loop()
    last_s = loop.time()
    headed = as_json
    async with aclosing(subscribe(settings, [topic], since)) as polls:
        async for records in polls:
            now_s = loop.time()
            if not headed:
                typer.echo(lines.header)
                headed = True
            if records:
                last_s = now_s
                if text := "\n".join(_told(records, lines, pack, as_json=as_json)):
                    typer.echo(text)
            elif reader_left() or (until_idle_s is not None and now_s - last_s >= until_idle_s):
                return


def _told(records: Iterable[Any], lines: Lines, pack: str | None, *, as_json: bool) -> Iterable[str]:
    decode = _named if as_json else lines.decode
    for record in records:
        if as_json and pack is None:
            if record.value is not None:
                yield as_published(record)
            continue
        value = read(record, decode)
        if value is not None and pack in (None, value.pack_id):
            yield as_published(record) if as_json else lines.line(value)
