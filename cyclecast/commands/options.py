"""Options that several commands share, and how flags become settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stream.settings import Settings

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
Recordings = Annotated[
    list[Path],
    typer.Argument(help="Recordings: files (.parquet, .csv), or folders of them.", exists=True, metavar="PATH..."),
]


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
