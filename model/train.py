"""Training: recordings and a configuration in, an artifact out. Under torchrun the same on several devices."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from model.adaptation import learned_from
from model.artifact import Artifact, Manifest, NoveltyFacts, build, save, tensors_of
from model.batches import Lot, Lots, Piece, epoch_pieces
from model.calibrate import calibrated
from model.card import card
from model.checkpoint import CHECKPOINT, Epoch, Progress, Standing
from model.curves import scalars, write_csv, write_html
from model.dataset import WindowSet, windows_of
from model.evaluate import evaluate, predict, scores
from model.losses import pinball_loss, pinball_sums
from model.novelty import Novelty, fit_novelty
from model.paced import with_copies
from model.prepare import TrainingError, rows_of, untrained
from model.ranks import Ranks, joined
from model.recording import Recording
from model.scaling import from_network_space, to_network_space
from model.schema import CycleSteps, Target
from model.tensorboard import FOLDER, EventFile
from model.training_config import Role, Training, split_by_cell

__all__ = ["Pace", "TrainingError", "TrainingRun", "train"]

_COVERAGE = 0.9
_LAST_LR = 0.02  # of the first: where the cosine ends
_AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Pace:
    """Where training is within an epoch: windows learned from, of how many, at which mean loss so far."""

    epoch: int
    windows: int
    of: int
    loss: float
    lr: float


def train(
    recordings: Iterable[Recording],
    config: Training,
    out: Path,
    progress: Callable[[Epoch], None] | None = None,
    pace: Callable[[Pace], None] | None = None,
    *,
    parent: Artifact | None = None,
    device: str = "auto",
    resume: bool = False,
) -> Manifest:
    """Trains on the recordings and writes the artifact and its curves into ``out``.

    ``progress`` hears of each finished epoch, ``pace`` of each step of the optimiser. With a ``parent``
    training starts from its weights and keeps its scalers; ``config`` is then one that `adapted` returned. ``resume``
    goes on from the checkpoint in ``out`` and ends with the same weights as a run that was never interrupted. Raises
    `TrainingConfigError` where the cells do not suffice, `CheckpointError` where the checkpoint is of another run,
    `TrainingError` where the loss diverges.
    """
    with joined(device) as ranks:
        if config.precision == "fp16" and ranks.device.type == "cpu":
            raise TrainingError("precision fp16 needs a CUDA device; on a CPU use auto, fp32 or bf16")
        run = TrainingRun.of(recordings, config, ranks, out, parent)
        run.fit(progress, pace, resume=resume)
        return run.finish()


class TrainingRun:
    """One training run: windows, a network, and where it stands."""

    def __init__(
        self,
        config: Training,
        windows: WindowSet,
        roles: dict[str, Role],
        ranks: Ranks,
        out: Path,
        parent: Artifact | None = None,
    ) -> None:
        self.config, self.windows, self.roles, self.ranks, self.out = config, windows, roles, ranks, out
        self.manifest = untrained(config, windows, roles, parent.manifest if parent else None)
        self.scaled, self.taught = self._lessons()
        torch.manual_seed(config.seed)
        self.forecaster = build(self.manifest, dropout=config.dropout).to(ranks.device)
        if parent is not None:
            self.forecaster.load_state_dict(parent.forecaster.state_dict())
        self.quantiles = torch.tensor(self.manifest.quantiles, device=ranks.device)
        # The averaged weights: what is validated, calibrated and kept.
        self.judged = build(self.manifest).to(ranks.device).requires_grad_(False)
        self.judged.load_state_dict(self.forecaster.state_dict())
        optimizer = torch.optim.AdamW(self.forecaster.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        standing = Standing(run=self._fingerprint())
        self.state = Progress(standing, self.forecaster.network, self.judged.network, optimizer, {})
        precision = config.precision
        if precision == "auto":
            precision = "fp16" if ranks.device.type == "cuda" else "fp32"
        self.half = _AUTOCAST.get(precision)
        # Gradients of fp16 underflow unless they are scaled up; bf16 has the exponents of fp32.
        self.steps = 0
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision == "fp16")

    @classmethod
    def of(
        cls, recordings: Iterable[Recording], config: Training, ranks: Ranks, out: Path, parent: Artifact | None
    ) -> Self:
        """The run that a configuration means: its windows, split by cell."""
        windows = windows_of(recordings, config.steps, config.targets, config.eol_soh)
        learned = learned_from(parent.manifest) if parent else frozenset()
        known = frozenset(cell.cell_id for cell in windows.cells if cell.sha256 in learned)
        roles = split_by_cell(windows.cell_ids, config.split, config.seed, known, _ended(windows, config.targets))
        return cls(config, windows, roles, ranks, out, parent)

    def fit(
        self, progress: Callable[[Epoch], None] | None, pace: Callable[[Pace], None] | None, *, resume: bool
    ) -> None:
        """Trains until the epochs or the patience end, with a checkpoint after each epoch."""
        goes_on = resume and self.state.read(self.out)
        if not goes_on:
            self.state.keep_best()
            if self.manifest.parent is not None:  # what it starts from is good: kept, unless an epoch is better
                self.state.standing = self.state.standing.model_copy(update={"best_loss": self._validated()[0]})
        self.steps = self.state.standing.steps
        if self.state.standing.scaler:
            self.scaler.load_state_dict(self.state.standing.scaler)
        network: nn.Module = self.forecaster.network
        if self.ranks.world > 1:
            network = DistributedDataParallel(network)
        events = EventFile(self.out / FOLDER, time.time(), goes_on=goes_on) if self.ranks.leads else None
        while not self._done():
            epoch = self._epoch(network, pace if self.ranks.leads else None)
            if events is not None:
                self.state.write(self.out)
                events.add(epoch.epoch, scalars(epoch))
                self._draw(running=True)
                if progress is not None:
                    progress(epoch)

    def finish(self) -> Manifest:
        """Calibrates and scores the best weights, and writes the artifact."""
        self.judged.network.load_state_dict(self.state.best)
        rows = self._rows("calibration")
        labels = self.scaled.labels[rows].copy()
        for index, target in enumerate(self.config.targets):
            if target.kind == "rul":  # past the end of life nothing is left to cover
                labels[self.windows.labels[rows, index] <= 0, index] = np.nan
        scaling = calibrated(
            self.manifest.target_scaling, self.windows.cell[rows], labels, self._predicted(rows), _COVERAGE
        )
        manifest = self.manifest.model_copy(update={"target_scaling": scaling})
        novelty = self._novelty()
        facts = NoveltyFacts(clusters=len(novelty.origin), false_alarms=self._false_alarms(novelty))
        manifest = manifest.model_copy(update={"metrics": self._metrics(manifest), "novelty": facts})
        if self.ranks.leads:
            manifest = save(self.out, manifest, tensors_of(self.judged, novelty), card(manifest, self.config.note))
            self._draw(running=False)
            (self.out / CHECKPOINT).unlink(missing_ok=True)
        return manifest

    def rehearse(self, steps: int) -> tuple[float, float]:
        """Makes a few steps and validates, which changes this run's weights and no file.

        Returns the seconds that a training window takes, and those that the validation does. The first step, which
        pays for start-up, is not counted.
        """
        pieces = epoch_pieces(self.scaled, self.taught, self.config, 0)
        ends = [index + 1 for index, piece in enumerate(pieces) if piece.last][: steps + 1]
        self._steps(self.forecaster.network, pieces[: ends[0]], None, 0, 0.0)
        timed = pieces[ends[0] : ends[-1]] or pieces
        began_s = time.perf_counter()
        self._steps(self.forecaster.network, timed, None, 0, 0.0)
        trained_s = time.perf_counter()
        self._validated()
        windows = sum(len(piece.rows) for piece in timed)
        return (trained_s - began_s) / windows, time.perf_counter() - trained_s

    def _epoch(self, network: nn.Module, pace: Callable[[Pace], None] | None) -> Epoch:
        standing, config, ranks = self.state.standing, self.config, self.ranks
        number = standing.next_epoch
        # Everything random in an epoch follows from its number: a resumed run draws what an uninterrupted one draws.
        torch.manual_seed((config.seed * 1_000_003 + number) * 1009 + ranks.rank)
        lr = config.lr * (_LAST_LR + (1 - _LAST_LR) * 0.5 * (1 + math.cos(math.pi * number / config.epochs)))
        pieces = epoch_pieces(self.scaled, self.taught, config, number, ranks.rank, ranks.world)
        train_loss = ranks.summed(self._steps(network, pieces, pace, number, lr))
        validation_loss, validation_mae = self._validated()
        if not math.isfinite(train_loss + validation_loss):
            raise TrainingError(f"the loss is no longer finite in epoch {number}: lower lr ({config.lr}) or clip_norm")
        epoch = Epoch(
            epoch=number,
            train_loss=train_loss,
            validation_loss=validation_loss,
            lr=lr,
            validation_mae=validation_mae,
        )
        update: dict[str, object] = {
            "curve": (*standing.curve, epoch),
            "steps": self.steps,
            "scaler": self.scaler.state_dict(),
        }
        if validation_loss < standing.best_loss:
            self.state.keep_best()
            update |= {"best_epoch": number, "best_loss": validation_loss}
        self.state.standing = standing.model_copy(update=update)
        return epoch

    def _steps(
        self, network: nn.Module, pieces: list[Piece], pace: Callable[[Pace], None] | None, epoch: int, lr: float
    ) -> float:
        """Trains on the pieces; returns this process's part of their mean loss."""
        optimizer, scaler = self.state.optimizer, self.scaler
        for group in optimizer.param_groups:
            group["lr"] = lr
        lots = DataLoader(
            Lots(self.scaled),
            sampler=pieces,
            batch_size=None,
            num_workers=self.config.workers,
            pin_memory=self.ranks.device.type == "cuda",
        )
        total = torch.zeros((), dtype=torch.float64, device=self.ranks.device)
        done = steps = 0
        network.train()
        for lot in lots:
            # Between processes gradients travel once a step, with its last piece.
            alone = contextlib.nullcontext() if lot.last or self.ranks.world == 1 else network.no_sync()  # type: ignore[operator]
            with alone:
                loss = self._loss(network, lot)
                # Gradients are averaged over the processes, where the loss is a sum over their pieces.
                scaler.scale(loss * self.ranks.world).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
            done += len(lot.windows)
            if lot.last:
                steps += 1
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(network.parameters(), self.config.clip_norm)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                self._average()
                if pace is not None:
                    of = sum(len(piece.rows) for piece in pieces)
                    pace(Pace(epoch, done, of, float(total) / steps, lr))
        return float(total) / steps

    def _lessons(self) -> tuple[WindowSet, NDArray[np.int64]]:
        """The windows and, after them, those of the training cells' copies, labels in the network's space; and which
        of them are learned from.
        """
        config, windows, rows = self.config, self.windows, self._rows("train")
        if isinstance(config.steps, CycleSteps) and config.augment.paces:
            cells = [cell_id for cell_id, role in self.roles.items() if role == "train"]
            windows = with_copies(self.windows, cells, config.augment.paces, config.steps, config.targets)
            copies = np.arange(len(self.windows), len(windows))
            rows = np.concatenate([rows, copies[np.isfinite(windows.labels[copies]).any(1)]])
        scaled = to_network_space(windows.labels, config.targets, self.manifest.target_scaling)
        return replace(windows, labels=scaled), rows

    def _average(self) -> None:
        """Moves the averaged weights; faster at first, so that a short run is not the average of its start."""
        self.steps += 1
        stays = min(self.config.average, self.steps / (10 + self.steps))
        for averaged, current in zip(self.judged.parameters(), self.forecaster.parameters(), strict=True):
            averaged.lerp_(current.detach(), 1 - stays)

    def _loss(self, network: nn.Module, lot: Lot) -> Tensor:
        """The piece's part of the mean loss of its step."""
        device = self.ranks.device
        features = self.forecaster.scaler(lot.windows.to(device, non_blocking=True))
        with torch.autocast(device.type, self.half, enabled=self.half is not None):
            predicted = network(features, self.config.steps.window - features.shape[1])
        sums = pinball_sums(predicted, lot.labels.to(device, non_blocking=True), self.quantiles)
        return (sums * lot.weight.to(device, non_blocking=True)).sum()

    def _draw(self, *, running: bool) -> None:
        standing = self.state.standing
        write_csv(self.out / "curve.csv", standing.curve)
        write_html(self.out / "curve.html", standing.curve, standing.best_epoch, self.config.name, running=running)

    def _validated(self) -> tuple[float, dict[str, float]]:
        """The loss on the validation cells, and each target's mean absolute error there in natural units."""
        rows = self._rows("validation")
        found, labels = self._predicted(rows), self.scaled.labels[rows]
        loss = float(pinball_loss(torch.from_numpy(found), torch.from_numpy(labels), self.quantiles.cpu()))
        targets, scaling = self.config.targets, self.manifest.target_scaling
        point = from_network_space(found[:, :, found.shape[2] // 2], targets, scaling)
        error = np.abs(point - self.windows.labels[rows])
        known = {target.name: error[np.isfinite(error[:, i]), i] for i, target in enumerate(targets)}
        return loss, {name: float(errors.mean()) for name, errors in known.items() if len(errors)}

    def _predicted(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the averaged weights say of the rows, in the network's space: float32 [k, T, Q]."""
        return self.ranks.divided(rows, lambda mine: predict(self.judged, self.windows, mine, "network"))

    def _rows(self, role: Role) -> NDArray[np.int64]:
        return rows_of(self.windows, self.roles, role)

    def _done(self) -> bool:
        standing = self.state.standing
        patient = standing.next_epoch - max(standing.best_epoch, 0) <= self.config.patience
        return standing.next_epoch >= self.config.epochs or not patient

    def _novelty(self) -> Novelty:
        """What tells strange windows, fitted on the training cells, with limits from those that train no weights."""
        unseen = np.concatenate([self._rows("validation"), self._rows("calibration")])
        return fit_novelty(self.windows, self._rows("train"), unseen, self.config.steps, self.config.seed)

    def _false_alarms(self, novelty: Novelty) -> float | None:
        """The fraction of windows called strange, of each test cell, averaged over the cells."""
        rows = self._rows("test")
        strange = scores(novelty, self.windows, rows) > 1
        cell = self.windows.cell[rows]
        return float(np.mean([strange[cell == one].mean() for one in np.unique(cell)])) if len(rows) else None

    def _metrics(self, manifest: Manifest) -> dict[str, JsonValue]:
        standing, rows = self.state.standing, self._rows("test")
        test = None
        if len(rows):
            natural = build(manifest).natural(torch.from_numpy(self._predicted(rows))).numpy()
            test = evaluate(manifest, natural, self.windows, rows)
        return {
            "epochs": standing.next_epoch,
            "best_epoch": standing.best_epoch,
            "validation_loss": standing.best_loss,
            "test": test,
        }

    def _fingerprint(self) -> str:
        """Of all that the weights follow from; how many processes gather or train does not matter."""
        parts = [self.config.model_dump_json(exclude={"workers", "note"})]
        parts.append(self.manifest.parent.sha256 if self.manifest.parent else "")
        parts += [f"{cell.cell_id}:{cell.sha256}" for cell in self.windows.cells]
        return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _ended(windows: WindowSet, targets: Sequence[Target]) -> frozenset[str]:
    """The cells of which a RUL is known while life is left."""
    rul = [index for index, target in enumerate(targets) if target.kind == "rul"]
    return frozenset(windows.cell_ids[cell] for cell in windows.cell[(windows.labels[:, rul] > 0).any(1)])
