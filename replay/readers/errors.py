"""What a reader says when a file cannot be a recording."""

from __future__ import annotations

from pathlib import Path

from stream.errors import Fatal


class RecordingError(Fatal):
    """A file that cannot be read as a recording. The message names the file, what is wrong, and what to do."""

    def __init__(self, source: Path | str, problem: str, remedy: str) -> None:
        super().__init__(f"{source}: {problem}; {remedy}")
        self.source = str(source)
