"""Files to columns: Parquet or CSV, told apart by content, and columns as arrays whose dtype is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from replay.readers.errors import RecordingError

_LATEST_MS = 2**53


class Columns:
    """The columns of one file. Every accessor raises ``RecordingError`` naming file, column and value."""

    def __init__(self, path: Path, table: pa.Table) -> None:
        self.path = path
        self.table = table
        self.names = frozenset(table.column_names)

    @property
    def rows(self) -> int:
        """Rows in the file."""
        return int(self.table.num_rows)

    @property
    def metadata(self) -> dict[str, str]:
        """What the schema says beside the columns."""
        found = self.table.schema.metadata or {}
        return {key.decode(): value.decode("utf-8", "replace") for key, value in found.items()}

    def require(self, names: Sequence[str], form: str) -> None:
        """Refuses a file that lacks one of ``names``."""
        missing = [name for name in names if name not in self.names]
        if missing:
            have = ", ".join(self.table.column_names[:12]) + (", ..." if len(self.names) > 12 else "")
            problem = f"column '{missing[0]}' is missing for the {form} form (it has {have})"
            raise RecordingError(self.path, problem, "name another --format, or describe the columns with --map")

    def by(self, name: str) -> list[tuple[str, Columns]]:
        """The rows of each value of an identity column, in the order in which the values appear."""
        column = self.table[name].cast(pa.string())
        if column.null_count:
            raise self.refuse(name, int(pc.index(pc.is_null(column), True).as_py()), None, "give every row a name")
        values = pc.unique(column).to_pylist()
        if len(values) == 1:
            return [(values[0], self)]
        return [(value, Columns(self.path, self.table.filter(pc.equal(column, value)))) for value in values]

    def equal(self, name: str, value: str) -> NDArray[np.bool_]:
        """Where a column of names holds ``value``; bool [rows]."""
        same = pc.equal(self.table[name].cast(pa.string()), value)
        return np.asarray(pc.fill_null(same, False).to_numpy(zero_copy_only=False), dtype=np.bool_)

    def doubles(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; float64 [rows], NaN where there is none."""
        column = self.table[name]
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
            column = self._parsed(name, column)
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)

    def floats(self, name: str) -> NDArray[np.float32]:
        """A column of readings; float32 [rows], NaN where there is none."""
        with np.errstate(over="ignore"):
            return self.doubles(name).astype(np.float32)

    def times_ms(self, name: str, *, unit_ms: float, base_ms: int = 0) -> NDArray[np.int64]:
        """A column of event time in units of ``unit_ms``; int64 [rows], ms. Refuses what is not a time."""
        values = self.doubles(name)
        with np.errstate(invalid="ignore"):
            times_ms = np.rint(values * unit_ms) + base_ms
            bad = np.flatnonzero(~((times_ms >= 0) & (times_ms <= _LATEST_MS)))
        if len(bad):
            raise self.refuse(name, int(bad[0]), values[bad[0]], "every row needs a time since 1970; remove the row")
        return times_ms.astype(np.int64)

    def counts(self, name: str) -> NDArray[np.int32]:
        """A column of whole numbers; int32 [rows], -1 where there is none."""
        values = self.doubles(name)
        values = np.where(np.isnan(values), -1.0, values)
        bad = np.flatnonzero((values != np.rint(values)) | (values < -1) | (values > 2**31 - 1))
        if len(bad):
            raise self.refuse(name, int(bad[0]), values[bad[0]], "give a whole number, or leave it empty")
        return values.astype(np.int32)

    def flags(self, name: str) -> NDArray[np.bool_]:
        """A column of booleans; bool [rows], false where there is none."""
        try:
            column = self.table[name].cast(pa.bool_())
        except pa.ArrowInvalid as error:
            raise RecordingError(self.path, f"column '{name}': {error}", "give true or false") from None
        return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), dtype=np.bool_)

    def lists(self, name: str) -> NDArray[np.float32]:
        """A column of equally long lists of readings; float32 [rows, length], NaN where there is none."""
        column = self.table[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if not (pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type)):
            problem = f"column '{name}' holds {column.type}"
            raise RecordingError(self.path, problem, "a pack's readings are lists, one number a cell or probe")
        if column.null_count:
            raise self.refuse(name, int(pc.index(pc.is_null(column), True).as_py()), None, "give every row a list")
        lengths = np.unique(pc.list_value_length(column).to_numpy(zero_copy_only=False)) if len(column) else [0]
        if len(lengths) > 1:
            problem = f"column '{name}' has lists of {lengths[0]} and of {lengths[-1]} readings"
            raise RecordingError(self.path, problem, "a pack has the same cells in every row; split the file")
        values = column.flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
        return np.asarray(values, dtype=np.float32).reshape(len(column), int(lengths[0]))

    def refuse(self, name: str, row: int, value: object, remedy: str) -> RecordingError:
        """The error about one value."""
        shown = "nothing" if value is None else repr(value.item() if isinstance(value, np.generic) else value)
        return RecordingError(self.path, f"column '{name}', row {row + 1}: {shown}", remedy)

    def _parsed(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        for row, value in enumerate(column.to_pylist()):
            try:
                float("nan" if value is None else value)
            except (TypeError, ValueError):
                raise self.refuse(name, row, value, "give a number, or leave it empty") from None
        return column.cast(pa.float64())


def open_columns(path: Path) -> Columns:
    """Opens a Parquet or CSV file, whichever its first bytes show."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            raise RecordingError(path, "is empty", "give a Parquet or CSV recording")
        if magic == b"PAR1":
            # One thread: a file is small, and arrays larger than needed would outlive the read.
            return Columns(path, pq.ParquetFile(path).read(use_threads=False))
        if b"\0" in magic:
            raise RecordingError(path, "is neither Parquet nor CSV", "convert it to one of them")
        options = pa_csv.ConvertOptions(strings_can_be_null=True)
        return Columns(path, pa_csv.read_csv(path, pa_csv.ReadOptions(use_threads=False), convert_options=options))
    except FileNotFoundError:
        raise RecordingError(path, "does not exist", "check the path") from None
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordingError(path, f"cannot be read ({reason})", "give a whole Parquet or CSV file") from None
