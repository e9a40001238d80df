"""Mapping files: what a recording does not say of itself. Some are built in; ``--map`` brings another."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, PositiveFloat, PositiveInt, ValidationError

from model.schema import Frozen
from stream.errors import ConfigurationError

BASE_TIME = datetime(2020, 1, 1, tzinfo=UTC)


class TimeColumn(Frozen):
    """The column of event time: seconds or milliseconds, since the epoch or, if ``relative``, since ``base_time``."""

    column: str
    unit: Literal["s", "ms"] = "s"
    relative: bool = False


class CurrentColumn(Frozen):
    """The column of pack current, in A once multiplied by ``scale``; ``positive`` says which way it counts."""

    column: str
    scale: float = 1.0
    positive: Literal["charging", "discharging"] = "charging"


class CellColumns(Frozen):
    """One column a cell: ``pattern`` formatted with ``first`` to ``first + count - 1``; V once multiplied by ``scale``.

    ``negative``: what a voltage below zero means. ``absolute``: the sign is a mark of the logger (such as a balancing
    cell) on a sound reading. ``keep``: nothing; it is carried as it is.
    """

    pattern: str
    count: PositiveInt
    first: int = 1
    scale: float = 1.0
    negative: Literal["absolute", "keep"] = "keep"

    @property
    def names(self) -> list[str]:
        """The columns, in the order of the cells."""
        return [self.pattern.format(number) for number in range(self.first, self.first + self.count)]


class WideColumns(Frozen):
    """Where a wide log keeps what: one row a frame, one column a cell."""

    time: TimeColumn
    current: CurrentColumn
    cells: CellColumns
    temps: tuple[str, ...] = ()
    cycle: str | None = None


class Mapping(Frozen):
    """What is known of the recordings whose ``folder/identity`` one of the ``match`` patterns fits (all, if empty).

    The identity is the cell or pack id, or the file's stem. ``columns`` is for wide logs alone; ``pack_id`` names the
    column of the identity there. ``base_time`` is when a recording that knows only its test time began.
    """

    match: tuple[str, ...] = ()
    nominal_capacity_ah: PositiveFloat | None = None
    chemistry: str | None = None
    base_time: AwareDatetime = BASE_TIME
    pack_id: str | None = None
    columns: WideColumns | None = None

    def fits(self, folder: str, identity: str) -> bool:
        """Whether it speaks of this recording."""
        return not self.match or any(fnmatchcase(f"{folder}/{identity}", pattern) for pattern in self.match)


class Mappings(Frozen):
    """The mappings to ask: the user's own, then the built-in ones."""

    own: Mapping | None = None

    def of(self, path: Path, identity: str | None = None) -> Mapping:
        """The first mapping that fits the recording ``identity`` of the file ``path``; an empty one if none does."""
        folder, name = path.resolve().parent.name, identity or stem(path)
        return next((mapping for mapping in self._candidates() if mapping.fits(folder, name)), Mapping())

    def _candidates(self) -> Iterator[Mapping]:
        if self.own is not None:
            yield self.own
        yield from built_in()


def stem(path: Path) -> str:
    """The file's name without its suffixes: an identity where the file states none."""
    return path.name.removesuffix(".parquet").removesuffix(".csv").removesuffix(".bdf")


def load_mapping(path: Path) -> Mapping:
    """Reads a mapping file. Raises ``ConfigurationError`` naming the key that is wrong."""
    try:
        return Mapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); give --map a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML ({error}); docs/replay.md shows a mapping") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        problem = f"{path}: {key} = {first['input']!r}: {first['msg'].lower()}"
        raise ConfigurationError(f"{problem}; docs/replay.md lists the keys of a mapping") from None


@lru_cache(maxsize=1)
def built_in() -> tuple[Mapping, ...]:
    """The mappings shipped with the package, in the order of their file names."""
    folder = resources.files("replay") / "maps"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return tuple(Mapping.model_validate(tomllib.loads(item.read_text(encoding="utf-8"))) for item in files)
