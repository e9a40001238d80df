"""``cyclecast alerts``: what begins, or ceases, to need a person."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from cyclecast.commands.options import AsPublished, Bootstrap, Config, From, Pack, Since, UntilIdle, tool_settings
from cyclecast.commands.output import reader_may_leave
from stream.errors import ConfigurationError


def alerts(
    config: Config = None,
    bootstrap: Bootstrap = None,
    pack: Pack = None,
    as_json: AsPublished = False,
    standing: Annotated[
        bool,
        typer.Option("--standing", help="Those that stand now, by all that the topic holds, as a table; then end."),
    ] = False,
    since: From = Since.LATEST,
    until_idle: UntilIdle = None,
) -> None:
    """Print alerts as they begin and end, or those that stand.

    A line for each: event time, pack, cell, kind, raised or over, and why.
    Kinds are end_of_life, warranty, sudden_fade, outlier, sensor_fault and
    out_of_distribution; docs/alerts.md says when each holds. Joins no group and
    commits nothing: it disturbs nobody. Ends on Ctrl-C, or when its reader goes.

    [bold]Examples[/bold]
      cyclecast alerts
      cyclecast alerts --standing
      cyclecast alerts --from earliest --pack P1 --until-idle 2
      cyclecast alerts --json | jq 'select(.raised and .kind == "outlier")'
    """
    if standing and until_idle is not None:
        raise ConfigurationError("--until-idle: with --standing it ends by itself; leave one of them out")
    settings = tool_settings(config, kafka__bootstrap=bootstrap)
    from cyclecast.alerts import LINES, print_standing
    from cyclecast.subscription import follow

    topic = settings.topics.alerts
    with reader_may_leave():
        if standing:
            asyncio.run(print_standing(settings, pack, as_json=as_json))
        else:
            asyncio.run(
                follow(settings, topic, LINES, since.value, pack=pack, as_json=as_json, until_idle_s=until_idle)
            )
