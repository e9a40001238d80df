"""``python -m bench.accuracy.document``: the last run's tables into docs/accuracy.md, between its marks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "accuracy.md"


def placed(page: str, name: str, table: str) -> str:
    """``page`` with ``table`` between ``<!-- name -->`` and ``<!-- end of name -->``, in place of what stood there."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    found, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{table.strip()}\n\n{end}", page, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the page needs {begin} and {end} once each")
    return found


def transfer_table(pairs: Sequence[dict[str, float | str]]) -> str:
    """The transfer report of results.json, as Markdown."""
    head = ("train", "test", "adapting", "ours", "cover", "width", "linear", "cover", "width")
    lines = [head, ["---"] * len(head)]
    for pair in pairs:
        said = [f"{pair['train']}", f"{pair['test']}", f"{pair['adapting_cells']}"]
        for who in ("", "baseline_"):
            error, coverage, width = (float(pair[f"{who}{name}"]) for name in ("error", "coverage", "width"))
            said += [f"{error:.2f}", f"{coverage:.0%}", f"{width:.3f}"]
        lines.append(said)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Places what the results folder holds; a report that was not asked for leaves what stands."""
    results = json.loads((HERE / "results" / "results.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    took = f"One run, {results['seconds'] / 60:.0f} minutes; Python {results['python']}, {versions}."
    table = (HERE / "results" / "results.md").read_text(encoding="utf-8")
    page = placed(PAGE.read_text(encoding="utf-8"), "results", f"{table}\n{took}")
    if pairs := results["reports"].get("transfer"):
        page = placed(page, "transfer", transfer_table(pairs))
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
