"""What training adds to the recorded: every change here is one that a live cell could show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from model.recording import Recording
from model.training_config import Augmentation

_MARK = "\t"  # in the name of a recording that is rated anew; nothing on the wire or in a file is called so


def rated_anew(recordings: Iterable[Recording], factors: Sequence[float]) -> Iterator[Recording]:
    """Each recording, and copies whose nominal capacity is another by each of ``factors``.

    Steps and labels are relative to the nominal capacity, so a copy is exactly what the same cell would have been
    under another rating: its charges, rates and SOH shift together, and its life ends at another cycle.
    """
    for recording in recordings:
        yield recording
        nominal_ah = recording.nominal_capacity_ah
        if nominal_ah is None:
            continue
        for factor in factors:
            name = f"{recording.pack_id}{_MARK}{factor:g}{_MARK}"
            yield replace(recording, pack_id=name, nominal_capacity_ah=nominal_ah * factor)


def is_rated_anew(cell_id: str) -> bool:
    """Whether a cell is of a copy by `rated_anew`."""
    return _MARK in cell_id


def original(cell_id: str) -> str:
    """The name of the cell of which this is a copy; its own where it is none."""
    parts = cell_id.split(_MARK)
    return parts[0] + parts[-1] if len(parts) > 1 else cell_id


def augmented(windows: Tensor, augment: Augmentation, min_steps: int) -> Tensor:
    """Windows [n, L, C] after each its own draw of what `Augmentation` says; at least ``min_steps`` steps stay."""
    count, length, channels = windows.shape
    device = windows.device
    newest = torch.randint(min(min_steps, length), length + 1, (count, 1), device=device)
    truncated = torch.rand(count, 1, device=device) < augment.truncate
    gone = truncated & (torch.arange(length, device=device) < length - newest)  # [n, L]
    masked = torch.rand(count, channels, device=device) < augment.mask  # [n, C]
    return windows.masked_fill(gone[:, :, None] | masked[:, None, :], math.nan)
