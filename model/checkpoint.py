"""Where a training run stood after an epoch: tensors and JSON in one safetensors file, so that nothing is unpickled."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from model.schema import Frozen

CHECKPOINT = "checkpoint.safetensors"


class CheckpointError(Exception):
    """A checkpoint that this run cannot go on from; the message says what to do."""


class Epoch(Frozen):
    """One line of the loss curve. Losses are mean pinball losses in the network's space.

    ``validation_mae``: each target's mean absolute error on the validation cells, in natural units.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    lr: float
    validation_mae: dict[str, float]


class Standing(Frozen):
    """All of a run's state that is not a tensor. ``run`` fingerprints configuration and data.

    ``steps``: how many the optimiser made. ``scaler``: the state of the `GradScaler`, empty where none is in use.
    """

    run: str
    curve: tuple[Epoch, ...] = ()
    steps: int = 0
    best_epoch: int = -1
    best_loss: float = float("inf")
    scaler: dict[str, int | float] = Field(default_factory=dict)

    @property
    def next_epoch(self) -> int:
        """The epoch to train next, from 0."""
        return len(self.curve)


@dataclass(slots=True)
class Progress:
    """A run's state: where it stands, the network as it is and as its average is, the best averages so far, and the
    optimiser.
    """

    standing: Standing
    network: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor]

    def keep_best(self) -> None:
        """Remembers the present averages as the best."""
        self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.averaged.state_dict().items()}

    def write(self, folder: Path) -> None:
        """Writes the checkpoint; the old one stays until the new one is whole."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"averaged.{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
        # Cloned: safetensors refuses tensors that share memory, as an LSTM's flattened weights do.
        content = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{CHECKPOINT}.part"
        with part.open("wb") as file:
            file.write(save(content, {"standing": self.standing.model_dump_json()}))
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / CHECKPOINT)

    def read(self, folder: Path) -> bool:
        """Goes back to the checkpoint in ``folder``; False where there is none. Another run's raises."""
        path = folder / CHECKPOINT
        if not path.exists():
            return False
        try:
            with safe_open(path, "pt") as file:
                standing = Standing.model_validate(json.loads(file.metadata()["standing"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error}); delete it to start anew") from error
        if standing.run != self.standing.run:
            raise CheckpointError(
                f"{path}: is of a run with another configuration or other data; delete it to start anew"
            )
        self.standing = standing
        self.network.load_state_dict(_under("network.", tensors))
        self.averaged.load_state_dict(_under("averaged.", tensors))
        self.best = _under("best.", tensors)
        optimizer_state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under("optimizer.", tensors).items():
            index, key = name.split(".", 1)
            optimizer_state.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": optimizer_state, "param_groups": groups})
        return True


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
