"""Options that several commands share, and how flags become settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.errors import ConfigurationError
from stream.settings import Settings

if TYPE_CHECKING:
    from model.recording import Recording

EPILOG = (
    "Settings: defaults < TOML file (--config) < environment (CYCLECAST_KAFKA__BOOTSTRAP is kafka.bootstrap) < flags. "
    "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted."
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="TOML file of settings; see docs/configuration.md.", dir_okay=False, exists=True
    ),
]
Bootstrap = Annotated[
    str | None,
    typer.Option("--bootstrap", "-b", metavar="HOST:PORT", help="The broker: setting kafka.bootstrap."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON for machines instead of a table.")]


class Since(StrEnum):
    """Where a subscriber begins."""

    EARLIEST = "earliest"
    LATEST = "latest"


Pack = Annotated[str | None, typer.Option(metavar="ID", help="Only this pack.")]
AsPublished = Annotated[bool, typer.Option("--json", help="The records as published, one JSON line each.")]
From = Annotated[Since, typer.Option("--from", help="All that the topic holds, or only what comes from now on.")]
UntilIdle = Annotated[float | None, typer.Option(metavar="S", min=0.0, help="End when nothing arrived for S seconds.")]
Recordings = Annotated[
    list[Path],
    typer.Argument(help="Recordings: files (.parquet, .csv), or folders of them.", exists=True, metavar="PATH..."),
]
Format = Annotated[
    str | None, typer.Option("--format", help="tidy, bdf, fleet or wide, where the content does not tell.")
]
Map = Annotated[
    Path | None, typer.Option("--map", help="TOML that describes a log's columns.", exists=True, dir_okay=False)
]
Start = Annotated[str | None, typer.Option(metavar="TIME", help="First event time, ISO, UTC by default.")]
End = Annotated[str | None, typer.Option(metavar="TIME", help="Event time to stop before.")]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which recordings, in which form, and how much of them, as it was said on the command line."""

    paths: tuple[Path, ...]
    form: str | None = None
    mapping: Path | None = None
    start: str | None = None
    end: str | None = None

    def read(self) -> list[Recording]:
        """Reads them. Raises `ConfigurationError` for an argument that cannot be, before anything is read."""
        from replay.readers import FORMATS, load_mapping, read  # noqa: PLC0415 - not at --help

        known = next((each for each in FORMATS if each == self.form), None)
        if self.form is not None and known is None:
            raise ConfigurationError(f"--format = {self.form!r}: give one of {', '.join(FORMATS)}")
        first, last = _when(self.start, "--start"), _when(self.end, "--end")
        described = load_mapping(self.mapping) if self.mapping is not None else None
        return read(self.paths, format=known, mapping=described, start=first, end=last)


def _when(text: str | None, flag: str) -> datetime | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{flag} = {text!r}: give an ISO time such as 2024-01-08T06:00:00Z") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def settings_from(config: Path | None, **flags: object) -> Settings:
    """The settings of this process. ``flags``: setting key with ``__`` for the dot; ``None`` is a flag not given."""
    overrides = {key.replace("__", "."): value for key, value in flags.items() if value is not None}
    return Settings.load(config, os.environ, overrides)


def tool_settings(config: Path | None, **flags: object) -> Settings:
    """The settings of a command that people run by hand: of its logs they see what went wrong, as text."""
    from stream.logs import configure_logs  # noqa: PLC0415 - not at --help

    settings = settings_from(config, **flags)
    configure_logs("error", console=True)
    return settings
