"""Run in a test: a notebook's code cells in order, in one namespace, on a turning event loop, as Jupyter runs them.

Each cell's figures are drawn when it ends, as a notebook shows them; says how many there were. A second argument is
run after the first cell: what a reader would change in it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt  # after what it draws with was chosen


def code_cells(path: Path) -> list[tuple[str, str]]:
    """The name and the source of each code cell."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["id"], "".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]


async def _run(path: Path, changed: str) -> int:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    figures = 0
    first, *rest = code_cells(path)
    for name, source in (first, ("changed", changed), *rest):
        code = compile(source, f"{path.name}[{name}]", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        returned = eval(code, namespace)
        if inspect.iscoroutine(returned):
            await returned
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
            figures += 1
        plt.close("all")
    return figures


if __name__ == "__main__":
    notebook, *changed = sys.argv[1:]
    drawn = asyncio.run(_run(Path(notebook), "".join(changed)))
    sys.stdout.write(f"{drawn} figures\n")
