"""Folders to write into, tried before the work whose results they are for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from stream.errors import ConfigurationError


def refusal(folder: Path) -> str | None:
    """Makes the folder where it is not there. Why nothing can be written into it, or ``None``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def usable_out(out: Path, folder: Path) -> None:
    """Raises `ConfigurationError` where the ``folder`` of ``--out`` cannot be written into."""
    if (why := refusal(folder)) is not None:
        raise ConfigurationError(f"--out = {str(out)!r}: cannot write into {folder} ({why}); give another place")
