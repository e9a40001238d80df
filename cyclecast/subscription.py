"""From a topic to lines: for people, or as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Literal, NamedTuple

import typer

from cyclecast.commands.output import reader_left
from stream.kafka.subscribe import subscribe
from stream.settings import Settings


class Lines(NamedTuple):
    """How the records of a topic read: what stands above them, a value decoded (it has a ``pack_id``), and its line."""

    header: str
    decode: Callable[[bytes], Any]
    line: Callable[[Any], str]


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
    for record in records:
        if record.value is None:
            continue
        if as_json and pack is None:
            yield record.value.decode()
            continue
        value = lines.decode(record.value)
        if pack is None or value.pack_id == pack:
            yield record.value.decode() if as_json else lines.line(value)
