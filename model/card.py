"""The model card: what a person should know before trusting an artifact."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from model.artifact import Manifest

_ROLES = ("train", "validation", "calibration", "test")


def card(manifest: Manifest, note: str = "") -> str:
    """Markdown. ``note`` is what only the trainer can know."""
    parts = [
        _what(manifest),
        _use(manifest),
        _data(manifest),
        _protocol(manifest),
        _intervals(manifest),
        _strange(manifest),
        _errors(manifest),
        _limits(note),
    ]
    return "\n".join(line for part in parts for line in part) + "\n"


def _what(manifest: Manifest) -> list[str]:
    steps = manifest.steps.model_dump(exclude={"kind"})
    network = manifest.network
    return [
        f"# {manifest.name}",
        "",
        f"An LSTM ({network.num_layers} layers of {network.hidden_dim}) over windows of {manifest.window} "
        f"{manifest.steps.kind} steps with {len(manifest.channels)} channels, read at the last step.",
        "",
        f"- Predicts: {', '.join(target.name for target in manifest.targets)}, "
        f"each at the quantiles {', '.join(map(str, manifest.quantiles))}",
        "- SOH and capacities are fractions of the nominal capacity; RUL is in cycles",
        f"- End of life: SOH below {manifest.eol_soh} for 5 measured cycles in a row",
        f"- Steps: {', '.join(f'{key} {value}' for key, value in steps.items())}",
        f"- Seed {manifest.seed}; {', '.join(f'{name} {version}' for name, version in manifest.versions.items())}",
        *_descent(manifest),
        "",
    ]


def _descent(manifest: Manifest) -> list[str]:
    parent = manifest.parent
    if parent is None:
        return []
    learned = f"whose own {len(parent.recordings)} recordings it keeps in its weights and scalers"
    return [f"- Fine-tuned from {parent.name}@{parent.sha256[:12]}, {learned}"]


def _use(manifest: Manifest) -> list[str]:
    spoken = {"soh": "how far a cell has aged", "capacity": "how far it will have", "rul": "how many cycles are left"}
    said = list(dict.fromkeys(spoken[target.kind] for target in manifest.targets))
    return [
        "## Intended use",
        "",
        "- To watch a fleet of cells like those it was trained on, and to plan its maintenance: it tells",
        f"  {_listed(said)}, from operation data alone",
        "- Not to protect a battery: limits of voltage, current and temperature are the BMS's",
        "- Not enough to replace or sell a cell, or to refuse it a warranty: measure its capacity first",
        "",
    ]


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _data(manifest: Manifest) -> list[str]:
    lines = ["## Data", "", _split(manifest), ""]
    for role in _ROLES:
        cells = [cell for cell in manifest.data if cell.role == role]
        lines.append(f"- {role} ({len(cells)}): {_by_pack([cell.cell_id for cell in cells]) or 'none'}")
    sources = sorted({cell.source for cell in manifest.data if cell.source})
    return [*lines, "", "Sources: " + ("; ".join(sources) or "not named"), ""]


def _by_pack(cell_ids: list[str]) -> str:
    """Each pack once, with those of its cells that are named; a cell without a pack by itself."""
    packs: dict[str, list[str]] = {}
    for cell_id in cell_ids:
        pack_id, _, cell = cell_id.partition("/")
        packs.setdefault(pack_id, []).extend(filter(None, [cell]))
    return ", ".join(f"{pack_id} ({' '.join(cells)})" if cells else pack_id for pack_id, cells in packs.items())


def _split(manifest: Manifest) -> str:
    roles: dict[str, set[str]] = {}
    for cell in manifest.data:
        roles.setdefault(cell.cell_id.split("/")[0], set()).add(cell.role)
    if all(len(of_pack) == 1 or of_pack == {"train", "validation"} for of_pack in roles.values()):
        return "Split by cell: no cell has two roles. Whole packs calibrate and test: none of their cells trained."
    return "Split by cell: no cell has two roles, but cells of one pack may have different ones."


def _protocol(manifest: Manifest) -> list[str]:
    epochs, best = manifest.metrics.get("epochs"), manifest.metrics.get("best_epoch")
    kept = f"epoch {best} of {epochs}, counted from 0"
    if best == -1:
        kept = f"those it started from, better than any of {epochs} epochs"
    return [
        "## Protocol",
        "",
        "- Scalers and weights: the training cells alone, by the pinball loss at those quantiles",
        f"- Which weights are kept: by the loss on the validation cells, {kept}",
        "- Width of the intervals: the calibration cells, which neither trained the weights nor chose among them",
        "- Errors and coverage: the test cells, on which nothing was fitted",
        "- Windows hold what was recorded until then; a label is what was measured at exactly its cycle",
        "",
    ]


def _intervals(manifest: Manifest) -> list[str]:
    lines = ["## Intervals", ""]
    for target, scale in zip(manifest.targets, manifest.target_scaling, strict=True):
        claim = (
            "no calibration cell has a label: take the interval as a guess"
            if not scale.calibration_cells
            else f"widened by the largest miss on {scale.calibration_cells} calibration cells, "
            "too few to claim 90 %: take the interval as a guess"
            if scale.offset_is_guess
            else f"conformal on {scale.calibration_cells} calibration cells: 90 % for cells like them"
        )
        lines.append(f"- {target.name}: {claim}")
    return [*lines, ""]


def _strange(manifest: Manifest) -> list[str]:
    if manifest.novelty is None:
        return []
    rate = manifest.novelty.false_alarms
    told = "no cell was held out to count false alarms on" if rate is None else f"{100 * rate:.1f} % on the test cells"
    return [
        "## Out of distribution",
        "",
        f"Windows unlike those of the training cells (in {manifest.novelty.clusters} clusters) are flagged; limits are",
        f"set so that 1 % of the windows of the validation and calibration cells are. False alarms: {told}.",
        "",
    ]


def _errors(manifest: Manifest) -> list[str]:
    test = manifest.metrics.get("test")
    lines = ["## Errors on the test cells", ""]
    if not isinstance(test, Mapping):
        return [*lines, "No cell was held out for testing.", ""]
    lines += [
        "Averaged within a cell, then over cells. `last` copies the last measured capacity and `linear` continues the",
        "line through those measured so far (the model is told neither); `mean` says the training cells' mean.",
        "",
        "| target | predictor | n | MAE | RMSE | MAPE % | coverage of the 90 % interval | its mean width |",
        "|---|---|---|---|---|---|---|---|",
    ]
    targets, baselines = test["targets"], test["baselines"]
    assert isinstance(targets, Mapping)
    assert isinstance(baselines, Mapping)
    for name, metrics in targets.items():
        lines.append(_row(str(name), f"**{manifest.name}**", metrics))
        others = baselines[name]
        assert isinstance(others, Mapping)
        lines += [_row(str(name), str(baseline), numbers) for baseline, numbers in others.items() if numbers]
    lines += ["", "MAE by cell:", ""]
    for name, metrics in targets.items():
        if isinstance(metrics, Mapping) and isinstance(cells := metrics["by_cell"], Mapping):
            each = (f"{cell} {_number(of_cell, 'mae')}" for cell, of_cell in cells.items())
            lines.append(f"- {name}: {', '.join(each)}")
    return [*lines, ""]


def _limits(note: str) -> list[str]:
    return [
        "## Limits",
        "",
        "Cells of another chemistry, size class, temperature or duty than the training cells are out of its",
        "experience: train on recordings of your own fleet before relying on it.",
        *(("", note) if note else ()),
    ]


def _row(target: str, predictor: str, metrics: JsonValue) -> str:
    keys = ("n", "mae", "rmse", "mape_pct", "coverage_90", "width_90")
    return f"| {target} | {predictor} | {' | '.join(_number(metrics, key) for key in keys)} |"


def _number(metrics: JsonValue, key: str) -> str:
    value = metrics.get(key) if isinstance(metrics, Mapping) else None
    return f"{value:.4g}" if isinstance(value, int | float) else "-"
