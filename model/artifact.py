"""A trained model on disk: a folder of tensors, a validated manifest and a card. Never a pickle."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, PositiveFloat, PositiveInt, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from model.network import BatteryLifespanPredictor, Forecaster
from model.novelty import Novelty
from model.schema import QUANTILES, Channel, Frozen, SampleSteps, StepKind, Target

SCHEMA_VERSION = 1
MANIFEST, WEIGHTS, CARD = "manifest.json", "model.safetensors", "card.md"
BUILT_IN = ("cycle", "sample")
_BUILT_IN_FOLDER = Path(__file__).parent / "artifacts"


class ArtifactError(Exception):
    """An artifact that must not be used: names the file, the field, what was found, what was expected, what to do."""

    def __init__(self, path: Path, field: str, found: object, expected: object, do: str) -> None:
        super().__init__(f"{path}: {field}: found {found}, expected {expected}; {do}")
        self.path, self.field = path, field


class NetworkShape(Frozen):
    """What of the network does not follow from the rest of the manifest.

    ``skip``: the head also reads the last step. ``integrate``: of sample steps, the charge since the window's beginning
    is one more input.
    """

    hidden_dim: PositiveInt = 64
    num_layers: PositiveInt = 2
    skip: bool = False
    integrate: bool = False


class TargetScaling(Frozen):
    """How a target leaves the network's space, and the mean label of the training cells in natural units.

    ``offset`` is the conformal widening, in the network's space; ``calibration_cells`` is how many cells it rests on,
    and ``offset_is_guess`` tells that they were too few for the claim.
    """

    mean: float
    std: PositiveFloat
    label_mean: float
    offset: float = 0.0
    calibration_cells: int = Field(default=0, ge=0)
    offset_is_guess: bool = True


class ChannelScaling(Frozen):
    """Mean and standard deviation of a channel over the training cells, in the channel's unit."""

    mean: float
    std: PositiveFloat


class CellData(Frozen):
    """A cell that took part: in which role, from where, and the fingerprint of its recording."""

    cell_id: str
    role: Literal["train", "validation", "calibration", "test"]
    source: str
    sha256: str


class Parent(Frozen):
    """The artifact whose weights training started from, and the fingerprints of the recordings it had learned from."""

    name: str
    sha256: str
    recordings: tuple[str, ...] = ()


class NoveltyFacts(Frozen):
    """The artifact also says whether a window is out of distribution; ``false_alarms`` is the rate at which it does on
    its test cells, averaged over them.
    """

    clusters: PositiveInt
    false_alarms: float | None = None


class Manifest(Frozen):
    """What a model is: everything that its tensors do not say."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    sha256: str = ""
    steps: StepKind
    channels: tuple[Channel, ...]
    window: PositiveInt
    channel_scaling: tuple[ChannelScaling, ...]
    targets: tuple[Target, ...] = Field(min_length=1)
    quantiles: tuple[float, ...] = QUANTILES
    target_scaling: tuple[TargetScaling, ...]
    eol_soh: float = Field(default=0.8, gt=0, lt=1)
    network: NetworkShape = NetworkShape()
    data: tuple[CellData, ...] = ()
    parent: Parent | None = None
    novelty: NoveltyFacts | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    seed: int = 0

    @model_validator(mode="after")
    def _one_scaling_each(self) -> Manifest:
        if len(self.channel_scaling) != len(self.channels):
            raise ValueError(
                f"channel_scaling has {len(self.channel_scaling)} entries for {len(self.channels)} channels"
            )
        if len(self.target_scaling) != len(self.targets):
            raise ValueError(f"target_scaling has {len(self.target_scaling)} entries for {len(self.targets)} targets")
        if len(self.quantiles) % 2 == 0 or list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles must ascend around a median, not {self.quantiles}")
        return self

    @property
    def model_id(self) -> str:
        """What a prediction names as its model: ``name@`` and 12 hex digits of the content hash."""
        return f"{self.name}@{self.sha256[:12]}"

    def target_index(self, name: str) -> int | None:
        """The position of the target called ``name`` (``soh``, ``capacity+200``, ``rul``), if the model has it."""
        names = [target.name for target in self.targets]
        return names.index(name) if name in names else None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded model: what it is, and the modules that compute it (fp32, on the CPU, in evaluation mode).

    ``novelty`` scores how unlike the training data a window is, where the artifact can tell.
    """

    manifest: Manifest
    forecaster: Forecaster
    novelty: Novelty | None = None

    @property
    def model_id(self) -> str:
        """``name@sha256[:12]``."""
        return self.manifest.model_id


def build(manifest: Manifest, dropout: float = 0.0) -> Forecaster:
    """The untrained module that a manifest describes; ``dropout`` concerns training alone."""
    integral = _integral(manifest)
    network = BatteryLifespanPredictor(
        len(manifest.channels) + 1 + bool(integral),
        manifest.network.hidden_dim,
        manifest.network.num_layers,
        len(manifest.targets),
        quantiles=len(manifest.quantiles),
        dropout=dropout,
        skip=manifest.network.skip,
    )
    return Forecaster(
        network,
        mean=[channel.mean for channel in manifest.channel_scaling],
        std=[channel.std for channel in manifest.channel_scaling],
        target_mean=[target.mean for target in manifest.target_scaling],
        target_std=[target.std for target in manifest.target_scaling],
        log_target=[target.kind == "rul" for target in manifest.targets],
        offset=[target.offset for target in manifest.target_scaling],
        integral=integral,
    )


def _integral(manifest: Manifest) -> list[float]:
    """Weight of each channel in a step's charge, in fifths of the nominal capacity; empty where none is asked for."""
    steps = manifest.steps
    if not (manifest.network.integrate and isinstance(steps, SampleSteps)):
        return []
    return [5 * steps.period_s / 3600 * (channel.name == "current_rate") for channel in steps.channels]


def resolve(path_or_name: str | Path) -> Path:
    """The folder of an artifact: a path, or the name of a built-in one (``cycle``, ``sample``)."""
    if str(path_or_name) in BUILT_IN:
        return _BUILT_IN_FOLDER / str(path_or_name)
    return Path(path_or_name)


def tensors_of(forecaster: Forecaster, novelty: Novelty | None = None) -> dict[str, Tensor]:
    """What `save` writes of the modules: the network's weights and, beside them, ``novelty.*``."""
    scores = novelty.state_dict() if novelty is not None else {}
    return forecaster.network.state_dict() | {f"novelty.{name}": tensor for name, tensor in scores.items()}


def save(folder: Path, manifest: Manifest, tensors: Mapping[str, Tensor], card: str) -> Manifest:
    """Writes an artifact and returns its manifest, now with the content hash.

    A new folder appears whole or not at all. In one that exists already (it may be a mount, which cannot be renamed
    over) the files are replaced one by one, the manifest last: whoever reads in between is refused by the hash.
    """
    weights = save_tensors({name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)})
    manifest = manifest.model_copy(update={"sha256": _content_hash(manifest.model_dump(mode="json"), weights)})
    files = {
        WEIGHTS: weights,
        CARD: card.encode(),
        MANIFEST: (manifest.model_dump_json(indent=1) + "\n").encode(),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        for name, content in files.items():
            _write(folder / f".{name}.part", content)
            (folder / f".{name}.part").replace(folder / name)
    else:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as part:
            whole = Path(part) / folder.name
            whole.mkdir()
            for name, content in files.items():
                _write(whole / name, content)
            whole.rename(folder)
    return manifest


def load(path_or_name: str | Path) -> Artifact:
    """Reads an artifact; whatever does not fit raises `ArtifactError` and nothing is used."""
    folder = resolve(path_or_name)
    manifest, content = _parsed(folder / MANIFEST)
    weights_path = folder / WEIGHTS
    weights = _read(weights_path)
    try:
        tensors = load_tensors(weights)
    except SafetensorError as error:
        raise ArtifactError(weights_path, "tensors", error, "a safetensors file", "copy the artifact again") from error
    found_hash = _content_hash(content, weights)
    if found_hash != manifest.sha256:
        do = "the files do not belong together or were edited: copy the artifact again, or retrain"
        raise ArtifactError(folder, "sha256", found_hash[:12], manifest.sha256[:12], do)
    forecaster = build(manifest)
    novelty = Novelty(manifest.steps, manifest.novelty.clusters) if manifest.novelty else None
    expected = tensors_of(forecaster, novelty)
    for name in sorted(expected.keys() | tensors.keys()):
        found_shape = list(tensors[name].shape) if name in tensors else "no such tensor"
        expected_shape = list(expected[name].shape) if name in expected else "no such tensor"
        if found_shape != expected_shape:
            do = "the manifest describes another network: retrain"
            raise ArtifactError(weights_path, f"tensor {name}", found_shape, expected_shape, do)
    for name, tensor in expected.items():
        tensor.copy_(tensors[name])
    return Artifact(manifest, forecaster.requires_grad_(False).eval(), novelty)


def read_manifest(folder: Path) -> Manifest:
    """The validated manifest alone; the tensors are neither read nor checked."""
    return _parsed(folder / MANIFEST)[0]


def _parsed(path: Path) -> tuple[Manifest, dict[str, JsonValue]]:
    """The manifest, and the JSON that it was read from."""
    try:
        content = json.loads(_read(path))
    except ValueError as error:
        raise ArtifactError(path, "content", error, "JSON", "copy the artifact again") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        do = "retrain with this version of cyclecast, or use the version that wrote it"
        raise ArtifactError(path, "schema_version", version, SCHEMA_VERSION, do)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "manifest"
        found = repr(first["input"])[:80]
        raise ArtifactError(path, field, found, first["msg"], "retrain, or copy the artifact again") from error
    _check_channels(path, manifest)
    return manifest, content


def _check_channels(path: Path, manifest: Manifest) -> None:
    """The steps that this version computes must be the ones the model was trained on, in the same order and units."""
    do = "this version computes other steps than the model was trained on: retrain"
    if manifest.window != manifest.steps.window:
        raise ArtifactError(path, "window", manifest.window, manifest.steps.window, do)
    expected = manifest.steps.channels
    if len(manifest.channels) != len(expected):
        raise ArtifactError(path, "channels", len(manifest.channels), len(expected), do)
    for index, (found, wanted) in enumerate(zip(manifest.channels, expected, strict=True)):
        if found != wanted:
            show = f"{found.name} [{found.unit}]", f"{wanted.name} [{wanted.unit}]"
            raise ArtifactError(path, f"channels.{index}", *show, do)


def _content_hash(manifest: Mapping[str, JsonValue], weights: bytes) -> str:
    """Over the JSON as written, not as understood: a later version with new optional fields must find the same hash."""
    stated = {key: value for key, value in manifest.items() if key != "sha256"}
    canonical = json.dumps(stated, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(hashlib.sha256(weights).digest() + canonical.encode()).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        do = f"give a folder that `cyclecast train` wrote, or a built-in name ({', '.join(BUILT_IN)})"
        raise ArtifactError(path, "file", error.strerror, "a readable file", do) from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
