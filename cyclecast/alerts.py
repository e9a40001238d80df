"""Alerts for people: a line for each as it begins or ends, and a table of those that stand."""

from __future__ import annotations

import msgspec
import typer

from cyclecast.commands.output import console, table, utc
from cyclecast.subscription import Lines, as_published, read
from stream.board.standing import Standing
from stream.kafka.probe import stored
from stream.records import Alert
from stream.settings import Settings

HEADER = f"{'event time (UTC)':19}  {'pack':16} {'cell':>4}  {'kind':19}  {'':6}  reason"

_decode = msgspec.json.Decoder(Alert).decode


def line(alert: Alert) -> str:
    """One alert, in the columns of `HEADER`."""
    what = "raised" if alert.raised else "over"
    return f"{utc(alert.t_ms):19}  {alert.pack_id:16} {alert.cell:4}  {alert.kind:19}  {what:6}  {alert.reason}"


LINES = Lines(HEADER, _decode, line)


async def print_standing(settings: Settings, pack: str | None, *, as_json: bool) -> None:
    """Prints the alerts that stand by what the topic holds now, the newest first."""
    topic = settings.topics.alerts
    standing, came = Standing(), dict[Alert, str]()
    held = 0
    async for records in stored(settings, topic):
        held += len(records)
        for record in records:
            alert = read(record, _decode)
            if alert is not None and pack in (None, alert.pack_id):
                standing.feed(alert)
                if as_json and alert.raised:
                    came.setdefault(alert, as_published(record))
    alerts = standing.newest(len(standing))
    if as_json:
        for alert in alerts:
            typer.echo(came[alert])
    elif alerts:
        rows = [(utc(each.t_ms), each.pack_id, each.cell, each.kind, each.reason) for each in alerts]
        title = f"{topic}: {len(alerts):,} stand"
        console().print(table(title, ("since (UTC)", "pack", ">cell", "kind", "reason"), rows))
    elif held:
        typer.echo(f"{topic}: no alert stands" + (f" for pack {pack}" if pack is not None else ""))
    else:
        typer.echo(f"{topic} is empty: alerts come with predictions; `cyclecast predictions` shows whether any do")
