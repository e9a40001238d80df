"""The processes that train one model together, and what each of them does of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray


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

    def summed(self, value: float) -> float:
        """The sum of what every process has of a quantity."""
        if self.world == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return float(total)

    def divided(
        self, rows: NDArray[np.int64], compute: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """``compute(rows)``, float32 [len(rows), ...]: each process does its share, and all get the whole.

        All of them get the same numbers, so that they come to the same decisions.
        """
        mine = compute(rows[self.rank :: self.world])
        if self.world == 1:
            return mine
        whole = torch.zeros((len(rows), *mine.shape[1:]), device=self.device)
        whole[self.rank :: self.world] = torch.from_numpy(mine).to(self.device)
        torch.distributed.all_reduce(whole)
        found: NDArray[np.float32] = whole.cpu().numpy()
        return found


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
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
