"""Packs for people: a table, the weakest first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import typer

from cyclecast.commands.output import console, interval, table
from cyclecast.subscription import as_published, read
from stream.kafka.probe import newest
from stream.records import PackRollup
from stream.settings import Settings

_COLUMNS = ("pack", "SOH", ">spread", "cycles left", ">p(warranty)", ">weakest cell", "alerts")


async def print_packs(settings: Settings, pack: str | None, *, as_json: bool) -> None:
    """Prints the packs that the topic holds now: of each its newest roll-up, unless that is a null."""
    topic = settings.topics.packs
    decode = msgspec.json.Decoder(PackRollup).decode
    held = [(value, record) for record in await newest(settings, topic) if (value := read(record, decode)) is not None]
    held.sort(key=lambda each: _weakness(each[0]))
    chosen = [each for each in held if pack is None or each[0].pack_id == pack]
    if as_json:
        for _, record in chosen:
            typer.echo(as_published(record))
    elif chosen:
        rows = _rows([value for value, _ in chosen])
        console().print(table(f"{topic}: {len(chosen):,} packs", _COLUMNS, rows))
    elif held:
        typer.echo(f"{topic}: no pack {pack} among its {len(held):,}; `cyclecast packs` lists them")
    else:
        typer.echo(
            f"{topic} holds no pack: roll-ups come with predictions; `cyclecast predictions` shows whether any do"
        )


def _weakness(pack: PackRollup) -> tuple[bool, float, str]:
    """The lowest SOH first; what has none last."""
    return pack.soh is None, pack.soh.p50 if pack.soh else 0.0, pack.pack_id


def _rows(packs: Sequence[PackRollup]) -> list[tuple[object, ...]]:
    return [
        (
            each.pack_id,
            interval(each.soh, 3),
            _number(each.soh_spread, 3),
            interval(each.rul_cycles, 0),
            _number(each.p_warranty, 2),
            each.weakest[0].cell if each.weakest else "-",
            ", ".join(f"{count} {kind}" for kind, count in each.alerts.items()) or "-",
        )
        for each in packs
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
