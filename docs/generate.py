"""Writes the generated documents: ``make docs``. A test holds them to the code."""

from __future__ import annotations

import json
from pathlib import Path

from cyclecast import __version__
from stream.schemas import documents

DOCS = Path(__file__).parent


def rendered() -> dict[Path, str]:
    """Each generated file and its content."""
    return {DOCS / name: json.dumps(content, indent=1) + "\n" for name, content in documents(__version__).items()}


if __name__ == "__main__":
    for path, text in rendered().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"written: {path.relative_to(DOCS.parent)}")  # noqa: T201 - a command that says what it did
