"""``cyclecast packs``: how each pack is now."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio

from cyclecast.commands.options import AsPublished, Bootstrap, Config, Pack, tool_settings
from cyclecast.commands.output import reader_may_leave


def packs(
    config: Config = None,
    bootstrap: Bootstrap = None,
    pack: Pack = None,
    as_json: AsPublished = False,
) -> None:
    """List the packs as they are now, the lowest SOH first.

    Of each: SOH and cycles left, the least of its cells', as the median and, in
    brackets, the 90 % interval; the distance between its best and its weakest
    cell; the probability that its life ends within the warranty, where
    warranty.cycles is set; the weakest cell; and how many alerts stand. It reads
    the newest roll-up of each pack and ends; docs/alerts.md says how they are made.

    [bold]Examples[/bold]
      cyclecast packs
      cyclecast packs --pack P1
      cyclecast packs --json | jq 'select(.p_warranty > 0.5) | .pack_id'
    """
    settings = tool_settings(config, kafka__bootstrap=bootstrap)
    from cyclecast.packs import print_packs

    with reader_may_leave():
        asyncio.run(print_packs(settings, pack, as_json=as_json))
