"""Training: recordings and a configuration in, an artifact out. Under torchrun the same on several devices."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from model.artifact import CellData, Manifest, NetworkShape, build, save
from model.augment import augmented
from model.calibrate import calibrated
from model.card import card
from model.checkpoint import CHECKPOINT, Epoch, Progress, Standing
from model.curves import write_csv, write_png
from model.dataset import Batches, WindowSet, windows_of
from model.evaluate import evaluate, predict
from model.losses import pinball_loss
from model.recording import Recording
from model.scaling import fit_channels, fit_targets, to_network_space
from model.training_config import Role, Training, split_by_cell

_COVERAGE = 0.9
_LAST_LR = 0.02  # of the first: where the cosine ends
_LIBRARIES = ("cyclecast", "torch", "numpy", "numba", "safetensors")


class TrainingError(Exception):
    """Training cannot go on; the message says what to change."""


def train(
    recordings: Iterable[Recording],
    config: Training,
    out: Path,
    progress: Callable[[Epoch], None] | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
) -> Manifest:
    """Trains on the recordings and writes the artifact, ``curve.csv`` and ``curve.png`` into ``out``.

    ``progress`` hears of each finished epoch. ``resume`` goes on from the checkpoint in ``out`` and ends with the same
    weights as a run that was never interrupted. Raises `TrainingConfigError` where the cells do not suffice,
    `CheckpointError` where the checkpoint is of another run, `TrainingError` where the loss diverges.
    """
    windows = windows_of(recordings, config.steps, config.targets, config.eol_soh)
    roles = split_by_cell(windows.cell_ids, config.split, config.seed)
    with _ranks(device) as ranks:
        run = TrainingRun(config, windows, roles, ranks, out)
        run.fit(progress, resume=resume)
        return run.finish()


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together, and its device; alone it is 0 of 1."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0


class TrainingRun:
    """One training run: windows, a network, and where it stands."""

    def __init__(self, config: Training, windows: WindowSet, roles: dict[str, Role], ranks: Ranks, out: Path) -> None:
        self.config, self.windows, self.roles, self.ranks, self.out = config, windows, roles, ranks, out
        self.manifest = self._manifest()
        torch.manual_seed(config.seed)
        self.forecaster = build(self.manifest, dropout=config.dropout).to(ranks.device)
        scaled = to_network_space(windows.labels, config.targets, self.manifest.target_scaling)
        self.scaled = replace(windows, labels=scaled)
        self.quantiles = torch.tensor(self.manifest.quantiles, device=ranks.device)
        optimizer = torch.optim.AdamW(self.forecaster.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        self.state = Progress(Standing(run=self._fingerprint()), self.forecaster.network, optimizer, {})

    def fit(self, progress: Callable[[Epoch], None] | None, *, resume: bool) -> None:
        """Trains until the epochs or the patience end, with a checkpoint after each epoch."""
        if not (resume and self.state.read(self.out)):
            self.state.keep_best()
        network: nn.Module = self.forecaster.network
        if self.ranks.world > 1:
            network = DistributedDataParallel(network)
        while not self._done():
            epoch = self._epoch(network)
            if self.ranks.leads:
                self.state.write(self.out)
                write_csv(self.out / "curve.csv", self.state.standing.curve)
                if progress is not None:
                    progress(epoch)

    def finish(self) -> Manifest:
        """Calibrates and scores the best weights, and writes the artifact."""
        self.forecaster.network.load_state_dict(self.state.best)
        rows = self._rows("calibration")
        labels = self.scaled.labels[rows].copy()
        for index, target in enumerate(self.config.targets):
            if target.kind == "rul":  # past the end of life nothing is left to cover
                labels[self.windows.labels[rows, index] <= 0, index] = np.nan
        found = predict(self.forecaster, self.windows, rows, "network")
        scaling = calibrated(self.manifest.target_scaling, self.windows.cell[rows], labels, found, _COVERAGE)
        manifest = self.manifest.model_copy(update={"target_scaling": scaling})
        manifest = manifest.model_copy(update={"metrics": self._metrics(manifest)})
        if self.ranks.leads:
            manifest = save(self.out, manifest, self.forecaster.network.state_dict(), card(manifest, self.config.note))
            write_png(self.out / "curve.png", self.state.standing.curve, self.state.standing.best_epoch)
            (self.out / CHECKPOINT).unlink(missing_ok=True)
        return manifest

    def _epoch(self, network: nn.Module) -> Epoch:
        standing, config = self.state.standing, self.config
        number = standing.next_epoch
        # Everything random in an epoch follows from its number: a resumed run draws what an uninterrupted one draws.
        torch.manual_seed((config.seed * 1_000_003 + number) * 1009 + self.ranks.rank)
        lr = config.lr * (_LAST_LR + (1 - _LAST_LR) * 0.5 * (1 + math.cos(math.pi * number / config.epochs)))
        for group in self.state.optimizer.param_groups:
            group["lr"] = lr
        train_loss, loss_scale = self._steps(network, self._order(number), standing.loss_scale)
        validation_loss = self._validation_loss()
        if not math.isfinite(train_loss + validation_loss):
            raise TrainingError(f"the loss is no longer finite in epoch {number}: lower lr ({config.lr}) or clip_norm")
        epoch = Epoch(epoch=number, train_loss=train_loss, validation_loss=validation_loss, lr=lr)
        update: dict[str, object] = {"curve": (*standing.curve, epoch), "loss_scale": loss_scale}
        if validation_loss < standing.best_loss:
            self.state.keep_best()
            update |= {"best_epoch": number, "best_loss": validation_loss}
        self.state.standing = standing.model_copy(update=update)
        return epoch

    def _steps(self, network: nn.Module, order: list[NDArray[np.int64]], loss_scale: float) -> tuple[float, float]:
        """Trains on the batches of row numbers; returns their mean loss and the loss scale to go on with."""
        on_cuda = self.ranks.device.type == "cuda"
        scaler = torch.amp.GradScaler("cuda", init_scale=loss_scale, enabled=on_cuda)
        batches = DataLoader(
            Batches(self.scaled), sampler=order, batch_size=None, num_workers=self.config.workers, pin_memory=on_cuda
        )
        total = 0.0
        network.train()
        for index, (windows, labels) in enumerate(batches):
            loss = self._loss(network, windows.to(self.ranks.device, non_blocking=True), labels, amp=on_cuda)
            scaler.scale(loss / self.config.accumulate).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
            if (index + 1) % self.config.accumulate == 0 or index + 1 == len(order):
                scaler.unscale_(self.state.optimizer)
                nn.utils.clip_grad_norm_(network.parameters(), self.config.clip_norm)
                scaler.step(self.state.optimizer)
                scaler.update()
                self.state.optimizer.zero_grad(set_to_none=True)
        return total / len(order), scaler.get_scale() if on_cuda else loss_scale

    def _loss(self, network: nn.Module, windows: Tensor, labels: Tensor, *, amp: bool) -> Tensor:
        shown = augmented(windows, self.config.augment, self.config.steps.min_steps)
        features = self.forecaster.scaled(shown)
        with torch.autocast(self.ranks.device.type, torch.float16, enabled=amp):
            predicted = network(features)
        return pinball_loss(predicted, labels.to(self.ranks.device, non_blocking=True), self.quantiles)

    def _validation_loss(self) -> float:
        rows = self._rows("validation")
        found = torch.from_numpy(predict(self.forecaster, self.windows, rows, "network"))
        return float(pinball_loss(found, torch.from_numpy(self.scaled.labels[rows]), self.quantiles.cpu()))

    def _order(self, epoch: int) -> list[NDArray[np.int64]]:
        """This process's batches of training rows, drawn anew each epoch; every process has as many."""
        rows = np.random.default_rng((self.config.seed, epoch)).permutation(self._rows("train"))
        rows = rows[: self.config.epoch_windows or None]
        mine = rows[: len(rows) - len(rows) % self.ranks.world][self.ranks.rank :: self.ranks.world]
        return [mine[start : start + self.config.batch] for start in range(0, len(mine), self.config.batch)]

    def _rows(self, role: Role) -> NDArray[np.int64]:
        """The rows of a role's cells that have any label."""
        rows = self.windows.of_cells(cell_id for cell_id, its_role in self.roles.items() if its_role == role)
        return rows[np.isfinite(self.windows.labels[rows]).any(1)]

    def _done(self) -> bool:
        standing = self.state.standing
        patient = standing.next_epoch - max(standing.best_epoch, 0) <= self.config.patience
        return standing.next_epoch >= self.config.epochs or not patient

    def _manifest(self) -> Manifest:
        """What is known before training: the scalers are of the training cells alone."""
        config, windows = self.config, self.windows
        for role in ("train", "validation", "calibration"):
            if not len(self._rows(role)):
                raise TrainingError(
                    f"no {role} cell has a window with a label: give recordings with measured capacities"
                )
        train_cells = [cell_id for cell_id, role in self.roles.items() if role == "train"]
        return Manifest(
            name=config.name,
            steps=config.steps,
            channels=config.steps.channels,
            window=config.steps.window,
            channel_scaling=fit_channels(windows, train_cells),
            targets=config.targets,
            target_scaling=fit_targets(windows, self._rows("train"), config.targets),
            eol_soh=config.eol_soh,
            network=NetworkShape(
                hidden_dim=config.hidden, num_layers=config.layers, skip=config.skip, integrate=config.integrate
            ),
            data=tuple(
                CellData(
                    cell_id=cell.cell_id, role=self.roles[cell.cell_id], source=_short(cell.source), sha256=cell.sha256
                )
                for cell in windows.cells
            ),
            versions=_versions(),
            seed=config.seed,
        )

    def _metrics(self, manifest: Manifest) -> dict[str, JsonValue]:
        standing, rows = self.state.standing, self._rows("test")
        forecaster = build(manifest).to(self.ranks.device)
        forecaster.network.load_state_dict(self.state.best)
        return {
            "epochs": standing.next_epoch,
            "best_epoch": standing.best_epoch,
            "validation_loss": standing.best_loss,
            "test": evaluate(manifest, forecaster, self.windows, rows) if len(rows) else None,
        }

    def _fingerprint(self) -> str:
        parts = [self.config.model_dump_json(), *(f"{c.cell_id}:{c.sha256}" for c in self.windows.cells)]
        return hashlib.sha256("|".join([*parts, str(self.ranks.world)]).encode()).hexdigest()


@contextlib.contextmanager
def _ranks(device: str) -> Iterator[Ranks]:
    """Joins the other processes where torchrun started several."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(0, 1, torch.device(device))
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Ranks(torch.distributed.get_rank(), world, torch.device(device))
        torch.distributed.barrier()
    finally:
        torch.distributed.destroy_process_group()


def _short(source: str) -> str:
    """A file and its folder: enough to recognise it, nothing about the machine that trained."""
    return "/".join(Path(source).parts[-2:])


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # run from a checkout
            found[name] = importlib.metadata.version(name)
    return found
