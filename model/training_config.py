"""What a training run is told: read from TOML, unknown keys refused."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator

from model.schema import CycleSteps, Frozen, StepKind, Target

Role = Literal["train", "validation", "calibration", "test"]


class TrainingConfigError(ValueError):
    """A training configuration that cannot be used; the message names the file and the key."""


class Split(Frozen):
    """How cells are divided. ``test_cells`` names cells or whole packs that take no part in training.

    ``by``: with ``pack`` whole packs calibrate and test, and validation cells are drawn from the others. Cells of one
    pack live alike, so that intervals calibrated on the neighbours of training cells promise too much for a new pack.
    """

    validation: float = Field(default=0.15, gt=0, lt=1)
    calibration: float = Field(default=0.25, gt=0, lt=1)
    test: float = Field(default=0.0, ge=0, lt=1)
    test_cells: tuple[str, ...] = ()
    by: Literal["cell", "pack"] = "cell"

    @model_validator(mode="after")
    def _something_left(self) -> Split:
        if self.validation + self.calibration + self.test >= 1:
            raise ValueError(
                "validation, calibration and test leave no cells to train on: they must sum to less than 1"
            )
        return self


class Augmentation(Frozen):
    """What training windows go through, each with its own probability.

    ``truncate``: all but a random number of the newest steps vanish, as if the cell had been met later; only where
    a step kind accepts short windows. ``mask``: a channel vanishes from the whole window, as if not measured.
    ``paces``: training cells teach a copy at each, too (`model.paced`): one of 1.5 ages in two cycles as the cell in
    three. Cycle steps alone have a pace.
    """

    truncate: float = Field(default=0.3, ge=0, le=1)
    mask: float = Field(default=0.05, ge=0, le=1)
    paces: tuple[Annotated[float, Field(ge=0.1, le=10)], ...] = ()


class Training(Frozen):
    """A training run. An epoch is at most ``epoch_windows`` windows, drawn anew each time; 0 means all.

    ``note`` goes into the card: what a user should know that the data cannot say. A step of the optimiser is ``batch``
    times ``accumulate`` windows, however many processes share them. ``average`` is how much of the averaged weights
    stays at each step (an exponential moving average; they are what is validated and kept). ``precision`` is that of
    the arithmetic under autocast; ``auto`` is fp16 on CUDA and fp32 on a CPU.
    """

    name: str = Field(default="model", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    note: str = ""
    steps: StepKind = CycleSteps()
    targets: tuple[Target, ...] = (Target(kind="soh"),)
    eol_soh: float = Field(default=0.8, gt=0, lt=1)
    hidden: PositiveInt = 64
    layers: PositiveInt = 2
    skip: bool = False
    integrate: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    epochs: PositiveInt = 200
    epoch_windows: NonNegativeInt = 0
    patience: PositiveInt = 20
    batch: PositiveInt = 64
    accumulate: PositiveInt = 1
    lr: PositiveFloat = 1e-3
    weight_decay: float = Field(default=1e-2, ge=0)
    clip_norm: PositiveFloat = 1.0
    average: float = Field(default=0.99, ge=0, lt=1)
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    workers: NonNegativeInt = 0
    seed: NonNegativeInt = 0
    split: Split = Split()
    augment: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _sensible(self) -> Training:
        names = [target.name for target in self.targets]
        if len(set(names)) < len(names) or not names:
            raise ValueError(f"targets must be one or more, each once, not {names}")
        if self.augment.paces and not isinstance(self.steps, CycleSteps):
            raise ValueError("augment.paces: only cycle steps have a pace")
        return self


def load_config(path: Path) -> Training:
    """Reads a TOML file; `TrainingConfigError` says what is wrong with which key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingConfigError(f"{path}: not TOML: {error}") from error
    try:
        return Training.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "targets"
        if first["type"] == "extra_forbidden":
            key, what = f"{key}:", f"unknown key{_meant(str(first['loc'][-1]), str(first['loc'][0]))}"
        else:
            key, what = f"{key} = {first['input']!r}:" if _plain(first["input"]) else f"{key}:", first["msg"]
        raise TrainingConfigError(f"{path}: {key} {what}") from error


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _meant(key: str, section: str) -> str:
    """The known key most like an unknown one, in its own section or with the name of another's."""
    sections: dict[str, type[Frozen]] = {"": Training, "split": Split, "augment": Augmentation, "steps": CycleSteps}
    known = {name: of for of, fields in sections.items() for name in fields.model_fields}
    near = difflib.get_close_matches(key, known, 1)
    if not near:
        return ""
    of = known[near[0]]
    return f", did you mean {near[0] if of in ('', section) else f'{of}.{near[0]}'}?"


def split_by_cell(
    cell_ids: Sequence[str],
    split: Split,
    seed: int,
    known: frozenset[str] = frozenset(),
    ended: frozenset[str] = frozenset(),
) -> dict[str, Role]:
    """The role of each cell. At least one cell (or pack) each trains, validates and calibrates; too few raise.

    Of ``known`` cells an earlier training has learned: they may only train. Cells that ``ended`` are recorded until
    the end of their life: each role gets its share of them, since they alone calibrate an interval of RUL.
    """
    packs = {cell_id: cell_id.split("/")[0] for cell_id in cell_ids}
    _refuse_unknown(split.test_cells, {*packs, *packs.values()})
    roles: dict[str, Role] = {}
    units: dict[str, list[str]] = {}
    for cell_id, pack_id in sorted(packs.items()):
        if cell_id in split.test_cells or pack_id in split.test_cells:
            if cell_id in known:
                told = f"split.test_cells: the artifact to start from learned from {cell_id}: it can test nothing"
                raise TrainingConfigError(told)
            roles[cell_id] = "test"
        else:
            units.setdefault(pack_id if split.by == "pack" else cell_id, []).append(cell_id)
    free = [cells for cells in units.values() if known.isdisjoint(cells)]
    trained = [cell_id for cells in units.values() if not known.isdisjoint(cells) for cell_id in cells]
    to_train = 0 if trained else 1
    if len(free) < (2 if split.by == "pack" else 2 + to_train) or sum(map(len, free)) < 2 + to_train:
        raise TrainingConfigError(
            f"split: {sum(map(len, free))} cells in {len(free)} {split.by}s besides the test cells; training needs at "
            f"least {2 + to_train} cells, one each to {'train, ' * to_train}validate and calibrate, by pack in 2 packs"
        )
    rng = np.random.default_rng(seed)
    total = sum(map(len, free))
    free = _mixed([free[index] for index in rng.permutation(len(free))], ended)
    if split.by == "cell":
        roles |= _drawn(free, "validation", split.validation * total, keep=1 + to_train)
    roles |= _drawn(free, "calibration", split.calibration * total, keep=1 if split.by == "pack" else to_train)
    if split.test:
        roles |= _drawn(free, "test", split.test * total, keep=1 if split.by == "pack" else to_train)
    if split.by == "pack":
        alone = [[cell_id] for cells in free for cell_id in cells]
        free = _mixed([alone[index] for index in rng.permutation(len(alone))], ended)
        roles |= _drawn(free, "validation", split.validation * total, keep=to_train)
    roles |= dict.fromkeys([*trained, *(cell_id for cells in free for cell_id in cells)], "train")
    return roles


def _refuse_unknown(test_cells: Sequence[str], known: set[str]) -> None:
    unknown = []
    for name in test_cells:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), 1)
            unknown.append(f"{name} (did you mean {near[0]}?)" if near else name)
    if unknown:
        raise TrainingConfigError(f"split.test_cells: no recording has a cell or pack named {', '.join(unknown)}")


def _mixed(units: list[list[str]], ended: frozenset[str]) -> list[list[str]]:
    """Those with a cell that ended evenly among the others; both in the order they come in."""
    part = [not ended.isdisjoint(cells) for cells in units]
    place = {of: iter((np.arange(part.count(of)) + 0.5) / max(part.count(of), 1)) for of in (True, False)}
    at = [next(place[of]) for of in part]
    return [units[index] for index in np.argsort(at, kind="stable")]


def _drawn(free: list[list[str]], role: Role, cells: float, *, keep: int) -> dict[str, Role]:
    """Takes about so many cells, at least one, off the end of ``free``, whose first ``keep`` parts stay."""
    found: dict[str, Role] = {}
    while len(found) < max(round(cells), 1) and len(free) > keep:
        found |= dict.fromkeys(free.pop(), role)
    return found
