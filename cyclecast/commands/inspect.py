"""``cyclecast inspect``: what an artifact, a recording or a topic holds."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cyclecast.commands.options import Bootstrap, Config, Json, tool_settings
from cyclecast.commands.output import reader_may_leave
from stream.errors import ConfigurationError

_TOPIC = "topic:"


def inspect(
    what: Annotated[
        str, typer.Argument(metavar="PATH", help="An artifact folder or built-in name, a recording, or topic:NAME.")
    ],
    config: Config = None,
    bootstrap: Bootstrap = None,
    as_json: Json = False,
) -> None:
    """Show what an artifact, a recording or a topic holds.

    An artifact: its steps, targets, measured errors and training cells.
    A recording, or a folder of them: cells, cycles, time range, sample period,
    invalid readings, known truth. A topic: its partitions, offsets and newest
    record. With --json: one document (for a folder of recordings, a line each).

    [bold]Examples[/bold]
      cyclecast inspect cycle                      # a built-in model
      cyclecast inspect runs/my-model
      cyclecast inspect recordings/B0005.parquet --json
      cyclecast inspect topic:bms.predictions --bootstrap localhost:9092
    """
    from cyclecast import inspection

    with reader_may_leave():
        if (name := what.removeprefix(_TOPIC)) and name != what:
            settings = tool_settings(config, kafka__bootstrap=bootstrap)
            inspection.show_topic(asyncio.run(inspection.topic(settings, name)), as_json=as_json)
            return
        path = Path(what)
        if inspection.is_artifact(what):
            inspection.show_artifact(inspection.artifact(what), as_json=as_json)
        elif path.exists():
            inspection.show_recordings(path, as_json=as_json)
        else:
            raise ConfigurationError(
                f"PATH = {what!r}: no such file or folder; give an artifact, a recording, or topic:NAME"
            )
