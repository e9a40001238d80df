"""One row a benchmark: what bounds it, what was reached, and whether that is enough."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """Rates are per second. ``bar_ratio`` and ``bar_rate`` are what should be reached, where a bar is set."""

    path: str
    unit: str
    roof: str
    roof_rate: float
    rate: float
    bar_ratio: float | None = None
    bar_rate: float | None = None

    @property
    def ratio(self) -> float:
        """What was reached of the roof."""
        return self.rate / self.roof_rate

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or nothing where no bar is set."""
        if self.bar_ratio is None and self.bar_rate is None:
            return ""
        enough = self.ratio >= (self.bar_ratio or 0) and self.rate >= (self.bar_rate or 0)
        return "met" if enough else "missed"


def show(rows: Iterable[Row]) -> None:
    """Prints the table."""
    table = Table("path", "roof", "roof/s", "ours/s", "ratio", "bar", "verdict", title="cyclecast bench")
    for row in rows:
        bars = [f"{row.bar_ratio:.0%}" if row.bar_ratio else "", _rate(row.bar_rate) if row.bar_rate else ""]
        table.add_row(
            row.path,
            row.roof,
            _rate(row.roof_rate),
            f"{_rate(row.rate)} {row.unit}",
            f"{row.ratio:.1%}",
            ", ".join(filter(None, bars)),
            row.verdict,
        )
    Console(width=150).print(table)


def save(rows: Iterable[Row], path: Path) -> None:
    """Writes the table as JSON, with the machine and the versions that it was measured on."""
    packages = ("aiokafka", "msgspec", "numba", "numpy", "torch")
    found = {
        "machine": {"processor": _processor(), "python": platform.python_version()},
        "versions": {name: version(name) for name in packages},
        "rows": [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in rows],
    }
    path.write_text(json.dumps(found, indent=1) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0]}, {len(names)} threads" if names else platform.processor()


def _rate(rate: float) -> str:
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if rate >= scale:
            return f"{rate / scale:.2f} {letter}"
    return f"{rate:.1f}"
