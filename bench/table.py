"""One row a benchmark: what bounds it, what was reached, and whether that is enough."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

_PACKAGES = ("aiokafka", "msgspec", "numba", "numpy", "torch")


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
        return _verdict(
            None if self.bar_ratio is None else self.ratio >= self.bar_ratio,
            None if self.bar_rate is None else self.rate >= self.bar_rate,
        )

    def cells(self) -> tuple[str, ...]:
        """Roof, roof per second, ours per second, ratio, bar, as text."""
        bars = [f"{self.bar_ratio:.0%}" if self.bar_ratio else "", _short(self.bar_rate) if self.bar_rate else ""]
        reached = f"{_short(self.rate)} {self.unit}/s"
        return self.roof, f"{_short(self.roof_rate)}/s", reached, f"{self.ratio:.1%}", ", ".join(filter(None, bars))

    def worse_than(self, before: float) -> float:
        """By which factor the ratio fell since ``before``."""
        return before / self.ratio


@dataclass(frozen=True, slots=True)
class Cost:
    """What should be little: seconds, bytes, growth. ``bar_ratio`` (of ``cost`` to ``roof_cost``) and ``bar_cost`` are
    the most that it may be.
    """

    path: str
    unit: str
    roof: str
    roof_cost: float
    cost: float
    bar_ratio: float | None = None
    bar_cost: float | None = None

    @property
    def ratio(self) -> float:
        """How many times the least possible it costs."""
        return self.cost / self.roof_cost

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or nothing where no bar is set."""
        return _verdict(
            None if self.bar_ratio is None else self.ratio <= self.bar_ratio,
            None if self.bar_cost is None else self.cost <= self.bar_cost,
        )

    def cells(self) -> tuple[str, ...]:
        """Roof, its cost, our cost, ratio, bar, as text."""
        ratio = f"<= {self.bar_ratio:.2f} x" if self.bar_ratio else ""
        most = f"<= {_short(self.bar_cost)} {self.unit}" if self.bar_cost else ""
        bars = ", ".join(filter(None, (ratio, most)))
        roof, cost = (f"{_short(number)} {self.unit}" for number in (self.roof_cost, self.cost))
        return self.roof, roof, cost, f"{self.ratio:.2f} x", bars

    def worse_than(self, before: float) -> float:
        """By which factor the ratio rose since ``before``."""
        return self.ratio / before


@dataclass(frozen=True, slots=True)
class Skipped:
    """What cannot be measured here, and why."""

    path: str
    reason: str

    @property
    def verdict(self) -> str:
        """Why there is none."""
        return f"skipped: {self.reason}"

    def cells(self) -> tuple[str, ...]:
        """Nothing was measured."""
        return ("", "", "", "", "")


Line = Row | Cost | Skipped


def show(sections: Mapping[str, Iterable[Line]]) -> None:
    """Prints the table, a section for each benchmark."""
    table = Table("path", "roof", "roof's", "ours", "ratio", "bar", "verdict", title="cyclecast bench")
    for lines in sections.values():
        for line in lines:
            table.add_row(line.path, *line.cells(), line.verdict)
        table.add_section()
    Console(width=170).print(table)


def save(sections: Mapping[str, Iterable[Line]], path: Path) -> None:
    """Writes the table as JSON, with the machine and the versions that it was measured on."""
    rows = [
        {
            "command": f'make bench ARGS="{name}"',
            **asdict(line),
            **({} if isinstance(line, Skipped) else {"ratio": line.ratio}),
            "verdict": line.verdict,
        }
        for name, lines in sections.items()
        for line in lines
    ]
    found = {
        "machine": {"processor": _processor(), "python": platform.python_version()},
        "versions": {name: version(name) for name in _PACKAGES},
        "rows": rows,
    }
    path.write_text(json.dumps(found, indent=1) + "\n")


def regressions(sections: Mapping[str, Iterable[Line]], path: Path, tolerance: float) -> list[str]:
    """Which ratios are worse than those kept in ``path`` by more than ``tolerance``, a sentence each.

    Ratios and not seconds, so that another machine, or a busier one, may be compared.
    """
    kept = json.loads(path.read_text())["rows"]
    before = {(row["path"], row["unit"]): row["ratio"] for row in kept if "ratio" in row}
    found = []
    for lines in sections.values():
        for line in lines:
            if isinstance(line, Skipped) or (line.path, line.unit) not in before:
                continue
            was = before[line.path, line.unit]
            if (factor := line.worse_than(was)) > 1 + tolerance:
                found.append(f"{line.path}: ratio {line.ratio:.3g}, was {was:.3g}: {factor:.2f} x worse")
    return found


def _verdict(*enough: bool | None) -> str:
    asked = [each for each in enough if each is not None]
    if not asked:
        return ""
    return "met" if all(asked) else "missed"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0]}, {len(names)} threads" if names else platform.processor()


def _short(number: float) -> str:
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.2f} {letter}"
    return f"{number:.3g}"
