"""One command line inside this process, as a shell would see it; the process's own logging is put back."""

from __future__ import annotations

import logging
from typing import NamedTuple

import pytest
import structlog

from cyclecast.cli import run


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class CommandLine:
    """``invoke("dlq", "list")``: exit code, stdout and stderr of ``cyclecast dlq list``."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def invoke(self, *arguments: str) -> Ended:
        """Runs it to its end."""
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        self._captured.readouterr()
        try:
            code = run(arguments)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            structlog.reset_defaults()
        return Ended(code, *self._captured.readouterr())
