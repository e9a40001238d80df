"""Dead letters for people: a list, one in full, and sending them back."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from typing import Any

import typer

from cyclecast.commands.output import console, print_json, print_json_line, table, utc
from stream.kafka.probe import record_at, stored
from stream.kafka.redrive import headers_of, redrive_named, redrive_new
from stream.settings import Settings


async def print_list(settings: Settings, reason: str | None, *, as_json: bool) -> None:
    """Prints the dead letters that the topic holds now."""
    letters = []
    async for records in stored(settings, settings.topics.dead_letters):
        letters += [record for record in records if reason is None or headers_of(record).get("reason") == reason]
    letters.sort(key=lambda letter: (letter.timestamp, letter.partition, letter.offset))
    if as_json:
        for letter in letters:
            print_json_line(_facts(letter))
        return
    rows = []
    for letter in letters:
        headers = headers_of(letter)
        again = " (redriven)" if "redriven" in headers else ""
        why = headers.get("reason", "?") + again
        rows.append((_place(letter), utc(letter.timestamp), _text(letter.key), why, headers.get("error", "?")))
    title = f"{settings.topics.dead_letters}: {len(letters):,} dead letters"
    if rows:
        console().print(table(title, ("place", "time (UTC)", "pack", "reason", "error"), rows))
    else:
        typer.echo(title)


async def print_letter(settings: Settings, partition: int, offset: int, *, as_json: bool) -> None:
    """Prints one dead letter: bytes to stdout, headers to stderr."""
    letter = await record_at(settings, settings.topics.dead_letters, partition, offset)
    if as_json:
        print_json(_facts(letter) | _bytes(letter.value))
        return
    typer.echo(f"place: {_place(letter)}", err=True)
    typer.echo(f"key: {_text(letter.key)}", err=True)
    for name, value in headers_of(letter).items():
        typer.echo(f"{name}: {value}", err=True)
    typer.echo(f"bytes: {len(letter.value or b'')}", err=True)
    sys.stdout.buffer.write(letter.value or b"")
    if sys.stdout.isatty():
        typer.echo()


async def send_back(
    settings: Settings, places: Sequence[tuple[int, int]], reason: str | None, *, as_json: bool
) -> None:
    """Redrives, and says how many went and how many stayed."""
    done = await redrive_named(settings, places) if places else await redrive_new(settings, reason)
    if as_json:
        print_json(done._asdict())
        return
    typer.echo(f"sent back to {settings.topics.telemetry}: {done.sent:,}")
    if done.failed_again:
        typer.echo(f"left alone, failed again after a redrive: {done.failed_again:,} (name their places to send them)")
    if done.without_bytes:
        typer.echo(f"left alone, too large for this topic: {done.without_bytes:,} (their headers say where they lie)")


def _facts(letter: Any) -> dict[str, Any]:
    return {
        "place": _place(letter),
        "timestamp_ms": letter.timestamp,
        "key": _text(letter.key),
        "headers": headers_of(letter),
        "size": len(letter.value or b""),
    }


def _bytes(value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {"value": None}
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def _place(letter: Any) -> str:
    return f"{letter.partition}:{letter.offset}"


def _text(key: bytes | None) -> str:
    return "-" if key is None else key.decode("utf-8", "backslashreplace")
