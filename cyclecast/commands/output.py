"""How commands print: tables for people, JSON for machines, and an end without a traceback when the reader goes."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.records import Interval, RemainingLife


def console() -> Console:
    """What people read, on stdout. Where it is no terminal, lines stay whole for grep instead of being cut at 80."""
    out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    return out if sys.stdout.isatty() else Console(highlight=False, width=200)


def print_json(value: object) -> None:
    """One JSON document, indented."""
    typer.echo(json.dumps(value, indent=1, default=str))


def print_json_line(value: object) -> None:
    """One JSON document in one line, for streams of them."""
    typer.echo(json.dumps(value, separators=(",", ":"), default=str))


def table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table; columns that start with ``>`` are numbers, aligned right. ``Text`` may bring its style."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return made


def utc(t_ms: int) -> str:
    """An event time, to the second."""
    return datetime.fromtimestamp(t_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def interval(value: Interval | RemainingLife | None, digits: int) -> str:
    """The median and, in brackets, the 90 % interval; a dash where nothing is known."""
    if value is None:
        return "-"
    return f"{value.p50:.{digits}f} [{value.p05:.{digits}f}..{value.p95:.{digits}f}]"


def reader_left() -> bool:
    """Whether whoever reads our output has gone: told without writing, for commands that may be silent for long."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except OSError:
        return False
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends quietly with 0 when whoever reads our output (``| head``) has seen enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at exit; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
