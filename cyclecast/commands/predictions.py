"""``cyclecast predictions``: a subscriber to the result topic."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio

from cyclecast.commands.options import AsPublished, Bootstrap, Config, From, Pack, Since, UntilIdle, tool_settings
from cyclecast.commands.output import reader_may_leave


def predictions(
    config: Config = None,
    bootstrap: Bootstrap = None,
    pack: Pack = None,
    as_json: AsPublished = False,
    since: From = Since.LATEST,
    until_idle: UntilIdle = None,
) -> None:
    """Print predictions as they are published.

    A line for each: event time, pack, cell, cycle, then SOH, remaining cycles
    and future capacity, each as its median and, in brackets, its 90 % interval,
    and the flags. Joins no group and commits nothing: it disturbs nobody. Ends
    on Ctrl-C, or when its reader goes.

    [bold]Examples[/bold]
      cyclecast predictions
      cyclecast predictions --from earliest --pack P1 --until-idle 2
      cyclecast predictions --json | jq 'select(.soh.p50 < 0.85) | .pack_id'
    """
    settings = tool_settings(config, kafka__bootstrap=bootstrap)
    from cyclecast.predictions import LINES
    from cyclecast.subscription import follow

    topic = settings.topics.predictions
    with reader_may_leave():
        asyncio.run(follow(settings, topic, LINES, since.value, pack=pack, as_json=as_json, until_idle_s=until_idle))
