"""Notebooks as they are committed: what was written, and nothing of a machine on which they ran."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
STRIP = "strip it as CONTRIBUTING.md says"

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@each_notebook
def test_a_notebook_holds_no_output_and_nothing_of_the_machine_it_ran_on(path: Path) -> None:
    notebook = _read(path)
    assert (notebook["nbformat"], notebook["metadata"]) == (4, KERNEL), STRIP
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}, STRIP
        assert not cell.get("outputs"), STRIP
        assert cell.get("execution_count") is None, STRIP


@each_notebook
def test_a_notebook_has_a_title_and_headed_sections(path: Path) -> None:
    first, *others = (cell["source"][0] for cell in _read(path)["cells"] if cell["cell_type"] == "markdown")
    assert first.startswith("# ")
    assert all(each.startswith("## ") for each in others if each.startswith("#"))
    assert any(each.startswith("## ") for each in others)


@each_notebook
def test_a_notebook_names_no_place_of_a_machine(path: Path) -> None:
    for cell in _read(path)["cells"]:
        text = "".join(cell["source"])
        assert not re.search(r"(?<![\w.])/(home|root|Users|tmp|work|mnt|opt|var)\b|[A-Z]:\\", text), cell["id"]
        for named in re.findall(r"`((?:docs|stream|replay|model)/[\w./-]+)`", text):
            assert (ROOT / named).exists(), named


@each_notebook
def test_a_notebook_needs_nothing_but_python_to_be_read(path: Path) -> None:
    for cell in _read(path)["cells"]:
        if cell["cell_type"] == "code":
            assert not re.search(r"^\s*[%!]|get_ipython|IPython", "".join(cell["source"]), re.MULTILINE), cell["id"]


def test_the_folder_holds_notebooks_alone_and_each_is_told_of() -> None:
    # JupyterLab keeps hidden folders of its own there, which git ignores.
    assert sorted(path for path in (ROOT / "notebooks").iterdir() if not path.name.startswith(".")) == NOTEBOOKS
    told = (ROOT / "docs" / "notebooks.md").read_text()
    for path in NOTEBOOKS:
        assert f"`{path.name}`" in told
