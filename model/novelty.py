"""How unlike its training data a window is: where a model does not know its way it shall say so.

A window is told by a few numbers. Training windows fall into clusters (a chemistry, a temperature, a duty); the score
is the Mahalanobis distance to the nearest of them, or how far a number lies outside all that training saw, each over
its limit from cells that trained nothing: above 1 a window is out of distribution. It needs no state, and no label.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import novelty_kernel
from model.dataset import WindowSet
from model.novelty_kernel import CLIP
from model.schema import CycleSteps, SampleSteps

QUANTILE = 0.99  # of an unseen cell's windows pass
_CLUSTERS = 4  # more of them follow the packs that trained, and call a new pack of the same kind strange
_WINDOWS = 20_000  # to fit on, alike many of each pack
_TAIL = 0.001  # of training windows beyond either end of the range: glitches are no part of it
_LEAST_EXCESS = 0.5  # standard deviations outside the range that always pass
_FEW = 20  # windows of a cluster from which a quantile is taken
_MARGIN = 1.5  # on the limit of a cluster that too few unseen windows fall into
_RIDGE = 0.1


class Novelty(nn.Module):
    """Scores windows. What it knows are buffers: F numbers of a window, K clusters."""

    mean: Tensor  # [F]
    std: Tensor  # [F]
    whiten: Tensor  # [F, K, F], what makes each cluster's covariance unity
    origin: Tensor  # [K, F], the clusters' centres, whitened
    limit: Tensor  # [K]
    low: Tensor  # [F]
    high: Tensor  # [F]
    excess_limit: Tensor  # []

    def __init__(self, steps: SampleSteps | CycleSteps, clusters: int) -> None:
        super().__init__()
        self.steps = steps
        size = summary_size(steps)
        for name in ("mean", "std", "low", "high"):
            self.register_buffer(name, torch.zeros(size))
        self.register_buffer("whiten", torch.zeros(size, clusters, size))
        self.register_buffer("origin", torch.zeros(clusters, size))
        self.register_buffer("limit", torch.ones(clusters))
        self.register_buffer("excess_limit", torch.ones(()))

    def forward(self, windows: Tensor) -> Tensor:
        """Raw windows float32 [n, L, C] -> score float32 [n]: above 1 is out of distribution.

        What a window does not show counts as ordinary; a sample window that is not full has score 0. `definition` says
        how it is computed; on a CPU it is compiled (`model.novelty_kernel`).
        """
        if windows.device.type != "cpu":
            return self.definition(windows)
        score = torch.empty(len(windows))
        novelty_kernel.score(
            windows.contiguous().numpy(),
            isinstance(self.steps, SampleSteps),
            *(self.mean.numpy(), self.std.numpy(), self.whiten.flatten(1).numpy(), self.origin.flatten().numpy()),
            *(self.limit.numpy(), self.low.numpy(), self.high.numpy(), self.excess_limit.numpy()[()]),
            score.numpy(),
        )
        return score

    def definition(self, windows: Tensor) -> Tensor:
        """What `forward` says, step by step."""
        z = self.standardised(windows)
        distance, nearest = self.nearest(z)
        score = torch.maximum(distance / self.limit[nearest], self.excess(z) / self.excess_limit)
        if isinstance(self.steps, SampleSteps):
            score = score.masked_fill(torch.isnan(windows[:, 0]).all(-1), 0.0)
        return score

    def standardised(self, windows: Tensor) -> Tensor:
        """A window's numbers over their spread in training, 0 where unknown: [n, F]."""
        return ((self.told(windows) - self.mean) / self.std).nan_to_num(0.0).clamp(-CLIP, CLIP)

    def told(self, windows: Tensor) -> Tensor:
        """The numbers that tell windows: [n, F]."""
        return summary(windows, self.steps)

    def nearest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Root mean squared Mahalanobis distance to the nearest cluster [n], and which that is [n]."""
        offset = torch.addmm(-self.origin.flatten(), z, self.whiten.flatten(1)).view(
            -1, *self.origin.shape
        )  # [n, K, F]
        squared, nearest = offset.square().mean(-1).min(-1)
        return squared.sqrt(), nearest

    def excess(self, z: Tensor) -> Tensor:
        """How far the farthest number lies outside what training saw, in standard deviations: [n]."""
        return torch.maximum(self.low - z, z - self.high).clamp(min=0.0).amax(-1)


def summary_size(steps: SampleSteps | CycleSteps) -> int:
    """Numbers that `summary` makes of a window."""
    channels = len(steps.channels)
    return channels if isinstance(steps, CycleSteps) else 7 * channels + 3


def summary(windows: Tensor, steps: SampleSteps | CycleSteps) -> Tensor:
    """What tells a window, NaN where unknown: [n, F]. Of cycles the newest step, which is a summary itself.

    Of samples, for each channel mean, spread, extremes, the newest, and the logarithms of its mean first and second
    difference (a stuck or a noisy sensor); then how voltage follows current, as it stands and step by step, and
    temperature the heat.
    """
    if isinstance(steps, CycleSteps):
        return windows[:, -1]
    lines = windows.transpose(1, 2).contiguous()  # [n, C, L]
    step = lines[..., 1:] - lines[..., :-1]
    turn = step[..., 1:] - step[..., :-1]
    mean = lines.mean(-1)
    still = lines - mean.unsqueeze(-1)
    std = still.square().mean(-1).sqrt()
    low, high = lines.amin(-1), lines.amax(-1)  # together they take a fifth of what aminmax takes
    together = (
        (still[:, 0] * still[:, 1]).mean(-1) / (std[:, 0] * std[:, 1] + 1e-6),
        _correlation(step[:, 0], step[:, 1]),
        _correlation(lines[:, 2], lines[:, 1].square()),
    )
    jumps = (torch.stack((step.abs().mean(-1), turn.abs().mean(-1)), 1) + 1e-5).log10().flatten(1)
    return torch.cat((mean, std, low, high, lines[..., -1], jumps, torch.stack(together, -1)), -1)


def fit_novelty(
    windows: WindowSet,
    train_rows: NDArray[np.int64],
    unseen_rows: NDArray[np.int64],
    steps: SampleSteps | CycleSteps,
    seed: int,
) -> Novelty:
    """Clusters of the training cells' windows, and limits that `QUANTILE` of the windows of cells that trained
    nothing keep to.
    """
    rng = np.random.default_rng(seed)
    trained, others = (_evenly(windows, rows, rng) for rows in (train_rows, unseen_rows))
    told, unseen = (summary(torch.from_numpy(windows.windows(rows)), steps) for rows in (trained, others))
    size = told.shape[1]
    clusters = max(1, min(_CLUSTERS, len(told) // (10 * size)))
    novelty = Novelty(steps, clusters)
    mean, std = _centre_and_spread(told.double().numpy())
    novelty.mean.copy_(torch.from_numpy(mean))
    novelty.std.copy_(torch.from_numpy(std))
    z, z_unseen = (((x - novelty.mean) / novelty.std).nan_to_num(0.0).clamp(-CLIP, CLIP) for x in (told, unseen))

    novelty.low.copy_(z.quantile(_TAIL, dim=0))
    novelty.high.copy_(z.quantile(1 - _TAIL, dim=0))
    center, member = _k_means(z, clusters, rng)
    for cluster in range(clusters):
        whiten = _whitening(z[member == cluster])
        novelty.whiten[:, cluster] = whiten
        novelty.origin[cluster] = center[cluster] @ whiten
    distance, nearest = novelty.nearest(z)
    distance_unseen, nearest_unseen = novelty.nearest(z_unseen)
    for cluster in range(clusters):
        own, new = distance[nearest == cluster], distance_unseen[nearest_unseen == cluster]
        limit = own.quantile(QUANTILE) if len(own) else torch.tensor(1.0)
        novelty.limit[cluster] = torch.maximum(limit, new.quantile(QUANTILE)) if len(new) >= _FEW else _MARGIN * limit
    novelty.excess_limit.fill_(max(float(novelty.excess(z_unseen).quantile(QUANTILE)), _LEAST_EXCESS))

    # The limits were each set apart: together they must still let pass what they shall.
    score = torch.maximum(
        distance_unseen / novelty.limit[nearest_unseen], novelty.excess(z_unseen) / novelty.excess_limit
    )
    slack = max(float(score.quantile(QUANTILE)), 1.0)
    novelty.limit.mul_(slack)
    novelty.excess_limit.mul_(slack)
    return novelty


def _evenly(windows: WindowSet, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Some of the rows, as many of each pack where it has them: its cells live alike, however many they are."""
    names = np.array([cell_id.split("/")[0] for cell_id in windows.cell_ids])
    pack = np.unique(names, return_inverse=True)[1][windows.cell[rows]]
    packs = np.unique(pack)
    most = math.ceil(_WINDOWS / len(packs))
    mine = (rows[pack == each] for each in packs)
    return np.concatenate([own if len(own) <= most else np.sort(rng.choice(own, most, replace=False)) for own in mine])


def _centre_and_spread(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column, its tails clipped; 0 and 1 for one that is never known."""
    mean, std = np.zeros(values.shape[1]), np.ones(values.shape[1])
    for index, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        if len(known):
            clipped = np.clip(known, *np.percentile(known, [0.5, 99.5]))
            mean[index] = clipped.mean()
            std[index] = clipped.std() if clipped.std() > 1e-6 else 1.0
    return mean, std


def _k_means(z: Tensor, clusters: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The centres [K, F] of the clusters of ``z`` [n, F] (Lloyd), and which each belongs to [n]."""
    center = z[rng.choice(len(z), clusters, replace=False)]
    for _ in range(25):
        member = torch.cdist(z, center).argmin(-1)
        for cluster in range(clusters):
            if (own := z[member == cluster]).numel():
                center[cluster] = own.mean(0)
    return center, torch.cdist(z, center).argmin(-1)


def _whitening(z: Tensor) -> Tensor:
    """The matrix that turns a cluster's covariance, shrunk towards a sphere, to unity: [F, F]."""
    size = z.shape[1]
    covariance = torch.cov(z.T, correction=0) if len(z) else torch.eye(size)
    shrink = max(_RIDGE, size / (size + len(z)))
    sphere = max(float(covariance.diagonal().mean()), 0.05)
    shrunk = (1 - shrink) * covariance + (shrink * sphere + 0.02) * torch.eye(size)
    whiten: Tensor = torch.linalg.cholesky(torch.linalg.inv(shrunk.double())).float()
    return whiten


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, of each row: [n]; about 0 where one does not move."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (a * b).mean(-1) / ((a.square().mean(-1) * b.square().mean(-1)).sqrt() + 1e-6)
