"""The networks: an LSTM read at its last step, and the forecaster around it: raw windows in, natural units out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CLIP = 8.0  # standardised inputs beyond this say no more than "far outside what training saw"
MEMORY = 200
MAX_LOG = 14.0  # a million cycles; keeps ``expm1`` finite whatever the input


class BatteryLifespanPredictor(nn.Module):
    """An LSTM over a window of steps, read at the last one, and a linear head.

    With ``skip`` the head also reads the last step itself: an LSTM's state is bounded, a straight line is not, and
    of a cell unlike those it learned from the last step's measured charge is the better witness.

    With one quantile the output is [n, output_dim]. With more (an odd number, ascending) it is
    [n, output_dim, quantiles]: the middle one is predicted, the others lie a positive width further out each, so that
    they cannot cross.
    """

    def __init__(
        self,
        input_dim: int = 3,
        hidden_dim: int = 64,
        num_layers: int = 2,
        output_dim: int = 1,
        *,
        quantiles: int = 1,
        dropout: float = 0.0,
        skip: bool = False,
    ) -> None:
        super().__init__()
        if quantiles % 2 == 0:
            raise ValueError(f"quantiles must be odd, so that one is the median, not {quantiles}")
        self.output_dim, self.quantiles, self.skip = output_dim, quantiles, skip
        between_layers = dropout if num_layers > 1 else 0.0
        self.lstm = nn.LSTM(input_dim, hidden_dim, num_layers, batch_first=True, dropout=between_layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_dim + input_dim * skip, output_dim * quantiles)
        self._remember(hidden_dim)

    @torch.no_grad()
    def _remember(self, hidden_dim: int) -> None:
        """Starts the gates with memories of all lengths up to ``MEMORY`` steps (Tallec and Ollivier 2018): as torch
        draws them they forget half at every step, and nothing is learned from the far end of a window.
        """
        for name, bias in self.lstm.named_parameters():
            if name.startswith("bias_ih"):  # [input, forget, cell, output] gates of hidden_dim each
                lengths = torch.empty(hidden_dim).uniform_(1, MEMORY - 1)
                bias[hidden_dim : 2 * hidden_dim] = lengths.log()
                bias[:hidden_dim] = -lengths.log()
            elif name.startswith("bias_hh"):
                bias.zero_()

    def forward(self, steps: Tensor, absent: int = 0) -> Tensor:  # steps: [n, L, input_dim], newest last
        """Quantiles of each target, from the LSTM's hidden state at the newest step.

        ``absent`` steps of zeros come before the first; they are the same for all windows and are computed once.
        """
        state = None
        if absent:
            _, (h, c) = self.lstm(steps.new_zeros(1, absent, steps.shape[-1]))  # [num_layers, 1, hidden_dim] each
            state = (h.expand(-1, len(steps), -1).contiguous(), c.expand(-1, len(steps), -1).contiguous())
        hidden, _ = self.lstm(steps, state)  #     [n, L, hidden_dim]
        last = self.dropout(hidden[:, -1])  #      [n, hidden_dim]
        if self.skip:
            last = torch.cat((last, steps[:, -1]), -1)  # [n, hidden_dim + input_dim]
        heads: Tensor = self.head(last).float()  #         [n, output_dim * quantiles]
        if self.quantiles == 1:
            return heads  #                        [n, output_dim]
        heads = heads.reshape(-1, self.output_dim, self.quantiles)
        middle = self.quantiles // 2
        median = heads[..., middle : middle + 1]  #                                     [n, output_dim, 1]
        widths = nn.functional.softplus(heads)  #                                       [n, output_dim, quantiles]
        below = median - _running_sum(widths[..., :middle].flip(-1)).flip(-1)  #        [n, output_dim, middle]
        above = median + _running_sum(widths[..., middle + 1 :])  #                     [n, output_dim, middle]
        return torch.cat((below, median, above), -1)


def _running_sum(widths: Tensor) -> Tensor:
    """Of one, as there mostly is, itself: a scan along one column takes a GPU as long as half an LSTM."""
    return widths if widths.shape[-1] == 1 else widths.cumsum(-1)


class Scaler(nn.Module):
    """Raw windows to what the network eats.

    Standardises the channels in fp32, adds the channel that says whether a step exists and, where ``integral`` weighs
    the channels, their sum so far (charge from current: an LSTM is a poor integrator).
    """

    mean: Tensor
    std: Tensor
    integral: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], integral: Sequence[float]) -> None:
        super().__init__()
        self.integrates = any(integral)
        # Not persistent either, see `Forecaster`.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        self.register_buffer("integral", torch.tensor(integral, dtype=torch.float32), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Raw windows float32 [n, L, C], NaN where nothing is known -> steps float32 [n, L, C + 1 (+ 1)]."""
        known = ~torch.isnan(windows)
        features = torch.where(known, (windows - self.mean) / self.std, 0.0).clamp(-CLIP, CLIP)
        present = known.any(-1, keepdim=True).to(features.dtype)
        if not self.integrates:
            return torch.cat((features, present), -1)
        moved = torch.where(known, windows, 0.0) @ self.integral  # [n, L]
        return torch.cat((features, present, moved.cumsum(-1).clamp(-CLIP, CLIP).unsqueeze(-1)), -1)


class Forecaster(nn.Module):
    """Everything between a raw window and a published value; what is exported is this.

    Scales the windows, runs the network, widens the quantiles by the conformal offset of their target, and returns to
    natural units. Targets trained on a logarithm (``log_target``) come back by ``expm1``. Offsets and target scaling
    belong to the network's space, in which a target is ``(y - target_mean) / target_std``, y being the label or its
    ``log1p``.
    """

    target_mean: Tensor
    target_std: Tensor
    log_target: Tensor
    offset: Tensor

    def __init__(
        self,
        network: BatteryLifespanPredictor,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        target_mean: Sequence[float],
        target_std: Sequence[float],
        log_target: Sequence[bool],
        offset: Sequence[float],
        integral: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.scaler = Scaler(mean, std, integral)
        # Not persistent: these live in the manifest, in one place only.
        self.register_buffer("target_mean", _column(target_mean), persistent=False)
        self.register_buffer("target_std", _column(target_std), persistent=False)
        self.register_buffer("log_target", torch.tensor(log_target).unsqueeze(-1), persistent=False)
        self.register_buffer("offset", _column(offset), persistent=False)

    def network_space(self, windows: Tensor) -> Tensor:
        """The network's own quantiles [n, T, Q], before conformal widening: what is trained and calibrated."""
        features = self.scaler(windows).to(self.network.head.weight.dtype)
        quantiles: Tensor = self.network(features)
        return quantiles if quantiles.dim() == 3 else quantiles.unsqueeze(-1)

    def forward(self, windows: Tensor) -> Tensor:
        """Raw windows float32 [n, L, C] -> quantiles float32 [n, T, Q] in natural units, ascending along Q."""
        return self.natural(self.network_space(windows))

    def natural(self, quantiles: Tensor) -> Tensor:
        """The network's own quantiles [n, T, Q] -> those that are published: widened, in natural units."""
        middle = quantiles.shape[-1] // 2
        median = quantiles[..., middle : middle + 1]
        # A negative offset narrows, but never past the median.
        below = torch.minimum(quantiles[..., :middle] - self.offset, median)
        above = torch.maximum(quantiles[..., middle + 1 :] + self.offset, median)
        value = torch.cat((below, median, above), -1) * self.target_std + self.target_mean
        return torch.where(self.log_target, torch.expm1(value.clamp(max=MAX_LOG)), value).clamp(min=0.0)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).unsqueeze(-1)
