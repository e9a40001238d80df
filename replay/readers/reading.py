"""Paths to recordings: finds the files, tells their forms apart by content, and reads each by its own reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from model.recording import Recording
from replay.readers import bdf, fleet, tidy, wide
from replay.readers.columns import Columns, open_columns
from replay.readers.cut import between, moment
from replay.readers.errors import RecordingError
from replay.readers.mapping import Mapping, Mappings
from replay.readers.truth import is_companion

Format = Literal["tidy", "bdf", "fleet", "wide"]
FORMATS: tuple[Format, ...] = get_args(Format)
_SUFFIXES = (".parquet", ".csv")


def read(
    paths: Sequence[Path | str],
    *,
    format: Format | None = None,  # noqa: A002  the name of the option it comes from
    mapping: Mapping | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Recording]:
    """Reads recordings from files, or from all recordings in folders (sorted by name).

    ``format`` overrides what the content shows; ``mapping`` goes before the built-in ones; ``start`` and ``end`` keep
    the rows with ``start <= event time < end``. Raises ``RecordingError`` where a file cannot be read, where an
    identity comes twice, and where nothing is left.
    """
    return list(iter_recordings(paths, format=format, mapping=mapping, start=start, end=end))


def iter_recordings(
    paths: Sequence[Path | str],
    *,
    format: Format | None = None,  # noqa: A002
    mapping: Mapping | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Iterator[Recording]:
    """Like ``read``, one at a time, so that only one file need be in memory."""
    mappings = Mappings(own=mapping)
    seen: dict[str, str] = {}
    left = False
    first_ms, last_ms = 2**63 - 1, 0
    for path in recording_files(paths):
        for recording in _read_file(path, format, mappings):
            if recording.pack_id in seen:
                problem = f"'{recording.pack_id}' was already read from {seen[recording.pack_id]}"
                raise RecordingError(path, problem, "each cell or pack needs its own identity; leave one out")
            seen[recording.pack_id] = str(path)
            first_ms, last_ms = min(first_ms, int(recording.t_ms.min())), max(last_ms, int(recording.t_ms.max()))
            kept = between(recording, start, end)
            if kept.frames:
                left = True
                yield kept
    where = ", ".join(map(str, paths))
    if not seen:
        raise RecordingError(where, "no recording found", "give Parquet or CSV recordings")
    if not left:
        problem = f"nothing was recorded from {start or 'the start'} until {end or 'the end'}"
        raise RecordingError(where, problem, f"it was recorded from {moment(first_ms)} to {moment(last_ms)}")


def recording_files(paths: Sequence[Path | str]) -> list[Path]:
    """The files that are recordings; a folder stands for all recordings in it, truth companions aside."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = [item for item in sorted(path.iterdir()) if item.suffix in _SUFFIXES and not is_companion(item)]
            if not inside:
                raise RecordingError(path, "holds no recording", "give a folder with .parquet or .csv recordings")
            found.extend(inside)
        else:
            found.append(path)
    return found


def _read_file(path: Path, form: Format | None, mappings: Mappings) -> list[Recording]:
    if is_companion(path):
        raise RecordingError(path, "is the truth of a recording", "give the recording; its truth is found beside it")
    columns = open_columns(path)
    if not columns.rows:
        raise RecordingError(path, "has no rows", "leave it out")
    match form or detect(columns, mappings):
        case "fleet":
            return fleet.read(columns, mappings)
        case "tidy":
            return tidy.read(columns, mappings)
        case "bdf":
            return bdf.read(columns, mappings)
        case "wide":
            return wide.read(columns, mappings)


def detect(columns: Columns, mappings: Mappings) -> Format:
    """The form that the columns show. Raises ``RecordingError`` where they show none."""
    if wide.fits(columns, mappings):
        return "wide"
    if fleet.fits(columns):
        return "fleet"
    if tidy.fits(columns):
        return "tidy"
    if bdf.fits(columns):
        return "bdf"
    have = ", ".join(columns.table.column_names[:12]) + (", ..." if len(columns.names) > 12 else "")
    problem = f"its columns ({have}) are of no known form"
    remedy = f"known are {', '.join(FORMATS)}; rename the columns, or describe a wide log with --map"
    raise RecordingError(columns.path, problem, remedy)
