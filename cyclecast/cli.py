"""The command line: one typer app. Commands import what they need when they run, so that ``--help`` is instant."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cyclecast import __version__
from cyclecast.commands.alerts import alerts
from cyclecast.commands.backtest import backtest
from cyclecast.commands.board import board
from cyclecast.commands.broker import broker
from cyclecast.commands.demo import demo
from cyclecast.commands.dlq import dlq
from cyclecast.commands.doctor import doctor
from cyclecast.commands.export import export
from cyclecast.commands.inspect import inspect
from cyclecast.commands.options import EPILOG
from cyclecast.commands.packs import packs
from cyclecast.commands.predictions import predictions
from cyclecast.commands.replay import replay
from cyclecast.commands.stream import stream
from cyclecast.commands.train import train

# An exception class that one of these packages defines carries a line for a person: it needs no traceback.
_OURS = frozenset({"cyclecast", "replay", "stream", "model"})

app = typer.Typer(
    name="cyclecast",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"cyclecast {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Predict the life of every battery cell from live BMS telemetry.

    Reads telemetry from Kafka, keeps a window for every cell, and publishes
    its health (SOH), its future capacity and its remaining cycles (RUL), each
    with a 90 % interval.

    New here?    cyclecast demo
    Your broker? cyclecast doctor --bootstrap HOST:PORT
    """


for _command in (
    demo,
    broker,
    train,
    stream,
    replay,
    backtest,
    predictions,
    packs,
    alerts,
    board,
    export,
    inspect,
    doctor,
):
    app.command(epilog=EPILOG)(_command)
app.add_typer(dlq, name="dlq")


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        code = app(list(arguments) or ["--help"], prog_name="cyclecast", standalone_mode=False)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - raised again there, unless it is meant for a person
        return _failed(error)
    return code if isinstance(code, int) else 0


def _failed(error: Exception) -> int:
    """Says what went wrong in one line; an error that nobody foresaw keeps its traceback."""
    if isinstance(error, typer.Abort):
        return 130
    # The parser's own errors come from the click inside typer, whose place differs between versions.
    message = getattr(error, "format_message", None)
    if message is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "cyclecast"
        reason = message().replace("Value error, ", "").rstrip(".")
        typer.echo(_plain(f"{command}: {reason}; see `{command} --help`"), err=True)
        return 2
    if type(error).__module__.partition(".")[0] in _OURS:
        typer.echo(_plain(f"cyclecast: {error}"), err=True)
        return int(getattr(error, "exit_code", 1))
    raise error


def _plain(text: str) -> str:
    """What a message quotes of a file or a broker must not steer the terminal."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def main() -> None:
    """The ``cyclecast`` script."""
    if os.getpid() == 1:  # of a container: the kernel throws a signal away that process 1 has no handler for
        signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(run(sys.argv[1:]))
