"""``cyclecast dlq``: the dead letters, that is, records that could not be used."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from cyclecast.commands.options import EPILOG, Bootstrap, Config, Json, tool_settings
from cyclecast.commands.output import reader_may_leave
from stream.errors import ConfigurationError

dlq = typer.Typer(
    help="""List, show and send back the records that could not be used.

    A record that the stream cannot use goes to the topic topics.dead_letters
    with its bytes untouched; headers say where it was and what is wrong.

    [bold]Examples[/bold]
      cyclecast dlq list
      cyclecast dlq show 0:12 > record.bin
      cyclecast dlq redrive                  # after the cause is gone
    """,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Reason = Annotated[str | None, typer.Option(help="Only those refused for this reason, e.g. not_json.")]


def place_of(text: str) -> tuple[int, int]:
    """The partition and the offset that ``PARTITION:OFFSET`` names. Raises `ConfigurationError`."""
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal() and int(offset) < 2**63):
        raise ConfigurationError(f"PARTITION:OFFSET = {text!r}: give two numbers as `cyclecast dlq list` prints them")
    return int(partition), int(offset)


@dlq.command("list", epilog=EPILOG)
def list_letters(
    config: Config = None, bootstrap: Bootstrap = None, reason: Reason = None, as_json: Json = False
) -> None:
    """List the dead letters: place, time, pack, reason, and what is wrong.

    The place (PARTITION:OFFSET) is what show and redrive take. With --json a
    line each.

    [bold]Examples[/bold]
      cyclecast dlq list
      cyclecast dlq list --reason out_of_range --json
    """
    settings = tool_settings(config, kafka__bootstrap=bootstrap)
    from cyclecast.dead_letters import print_list

    with reader_may_leave():
        asyncio.run(print_list(settings, reason, as_json=as_json))


@dlq.command("show", epilog=EPILOG)
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As listed.")],
    config: Config = None,
    bootstrap: Bootstrap = None,
    as_json: Json = False,
) -> None:
    """Show one dead letter: its original bytes and its headers.

    The bytes go to stdout exactly as they were received, the headers to
    stderr. With --json both are one document, the bytes as text where they are
    UTF-8 and else as base64.

    [bold]Examples[/bold]
      cyclecast dlq show 0:12
      cyclecast dlq show 0:12 2>/dev/null > record.bin
    """
    partition, offset = place_of(place)
    settings = tool_settings(config, kafka__bootstrap=bootstrap)
    from cyclecast.dead_letters import print_letter

    with reader_may_leave():
        asyncio.run(print_letter(settings, partition, offset, as_json=as_json))


@dlq.command("redrive", epilog=EPILOG)
def redrive(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="PARTITION:OFFSET...", help="These alone; else all new ones.")
    ] = None,
    config: Config = None,
    bootstrap: Bootstrap = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Send dead letters back to the telemetry topic, bytes untouched.

    Without places: each that came since the last redrive, once. A record sent
    back carries the header redriven: 1; if it fails again it is left alone,
    unless you name its place. With --reason a redrive is not remembered.

    [bold]Examples[/bold]
      cyclecast dlq redrive
      cyclecast dlq redrive 0:12 3:4
      cyclecast dlq redrive --reason time_in_future
    """
    named = [place_of(place) for place in places or ()]
    if named and reason is not None:
        raise ConfigurationError("--reason: give places or a reason, not both")
    settings = tool_settings(config, kafka__bootstrap=bootstrap)
    from cyclecast.dead_letters import send_back

    asyncio.run(send_back(settings, named, reason, as_json=as_json))
