"""The curve of a training run, for machines (CSV) and for eyes (one page of HTML that needs nothing else)."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from model.checkpoint import Epoch

_WIDTH, _HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 12, 12, 28
_STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --muted: #667384; --line: #dde2e8; --a: #1f6feb; --b: #b26a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e9f0; --muted: #93a1b2; --line: #2c3744; --a: #6cabff; --b: #e5a54b; }
}
body { margin: 2rem auto; max-width: 660px; padding: 0 1rem; color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h2 { margin: 1.6rem 0 0; font-size: 15px; } h2 b { color: var(--a); } h2 i { color: var(--b); font-style: normal; }
svg { width: 100%; } text { fill: var(--muted); font-size: 12px; } path { fill: none; stroke-width: 1.8; }
line { stroke: var(--line); } .kept { stroke: var(--muted); stroke-dasharray: 2 4; }
.a { stroke: var(--a); } .b { stroke: var(--b); }
"""


def write_csv(path: Path, curve: Sequence[Epoch]) -> None:
    """One row an epoch."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(scalars(curve[0])) if curve else [])
        writer.writeheader()
        writer.writerows(scalars(epoch) for epoch in curve)


def scalars(epoch: Epoch) -> dict[str, float]:
    """An epoch as numbers with flat names: ``validation_mae`` becomes ``validation_mae_soh`` and so on."""
    flat: dict[str, float] = epoch.model_dump(exclude={"validation_mae"})
    return flat | {f"validation_mae_{target}": error for target, error in epoch.validation_mae.items()}


def write_html(path: Path, curve: Sequence[Epoch], best_epoch: int, title: str, *, running: bool) -> None:
    """Losses, errors on the validation cells and the learning rate over the epochs; the weights kept are those of
    ``best_epoch``. While training runs, an open page looks again every ten seconds.
    """
    losses = {"training": [e.train_loss for e in curve], "validation": [e.validation_loss for e in curve]}
    panels = [_panel("pinball loss", losses, best_epoch)]
    for target in curve[0].validation_mae if curve else ():
        errors = {"validation": [e.validation_mae.get(target, math.nan) for e in curve]}
        panels.append(_panel(f"{target}: mean absolute error", errors, best_epoch))
    panels.append(_panel("learning rate", {"rate": [e.lr for e in curve]}, best_epoch))
    refresh = '<meta http-equiv="refresh" content="10">' if running else ""
    state = "training" if running else "trained"
    last = f"{state}, {len(curve)} epochs, best {best_epoch}"
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8">{refresh}<title>{escape(title)}: {state}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1><p>{last}</p>{''.join(panels)}</html>\n",
        encoding="utf-8",
    )


def _panel(what: str, lines: Mapping[str, Sequence[float]], best_epoch: int) -> str:
    """One drawing of one or two lines over the epochs, on a logarithmic scale."""
    shown = [value for values in lines.values() for value in values if value > 0]
    low, high = math.log10(min(shown, default=1.0)), math.log10(max(shown, default=1.0))
    low, high = (low - 0.05, high + 0.05) if high - low < 0.1 else (low, high)
    last = max(max(map(len, lines.values())) - 1, 1)

    def x(epoch: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * epoch / last

    def y(log: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - log) / (high - low)

    marks = []
    for part in range(5):
        log, epoch = low + (high - low) * part / 4, round(last * part / 4)
        marks.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(log):.1f}" y2="{y(log):.1f}"/>')
        marks.append(f'<text x="{_LEFT - 8}" y="{y(log) + 4:.1f}" text-anchor="end">{10**log:.3g}</text>')
        marks.append(f'<text x="{x(epoch):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{epoch}</text>')
    kept = x(max(best_epoch, 0))
    marks.append(f'<line class="kept" x1="{kept:.1f}" x2="{kept:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
    for colour, values in zip("ab", lines.values(), strict=False):
        points = [f"{x(epoch):.1f} {y(math.log10(v)):.1f}" for epoch, v in enumerate(values) if v > 0]
        marks.append(f'<path class="{colour}" d="M{"L".join(points)}"/>' if points else "")
    names = ", ".join(f"<{tag}>{escape(name)}</{tag}>" for tag, name in zip("bi", lines, strict=False))
    label = f'role="img" aria-label="{escape(what)} over the epochs"'
    return f'<h2>{escape(what)} ({names})</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" {label}>{"".join(marks)}</svg>'
