"""A table of the report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose last column is text."""
    top = ""
    if any(head):
        *cells, last = (escape(cell) for cell in head)
        top = "<tr>" + "".join(f"<th>{cell}</th>" for cell in cells) + f'<th class="text">{last}</th></tr>'
    lines = []
    for row in rows:
        *cells, last = (escape(cell) for cell in row)
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + f'<td class="text">{last}</td></tr>')
    return f'<div class="card scroll"><table>{top}{"".join(lines)}</table></div>'
