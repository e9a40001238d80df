"""``python -m bench.accuracy.ablation``: what each part of the models is worth and costs, on inner folds alone."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.accuracy.averaged import Averaged
from bench.accuracy.catalogue import PROTOCOLS
from bench.accuracy.cell import Cell
from bench.accuracy.data import folder_of_recordings
from bench.accuracy.ensemble import Ensemble, Learner, cross_fit
from bench.accuracy.faded import Faded
from bench.accuracy.gaussian import Gaussian
from bench.accuracy.lstm import Lstm
from bench.accuracy.paced import Paced
from bench.accuracy.protocol import Protocol, Said
from bench.accuracy.ridge import Ridge
from bench.accuracy.scores import score
from bench.accuracy.trees import Trees

CASES = ("xjtu-soh", "mit-300", "hust-a")
Layer = Paced | Faded  # around a network
LAYERS: dict[type[Layer], str] = {Paced: "copies", Faded: "logarithm"}
PLAIN: tuple[Learner, ...] = (Gaussian(most_rows=500), Ridge(), Trees())
COUNTS = (2, 4)
TIMED_ROWS = 2000
TRIALS = 3
NOISE = 0.2
COLUMNS = ("protocol", "models", "error", "± over seeds", "windows/s", "to the mixture's")


@dataclass(frozen=True, slots=True)
class Found:
    """A line of the table: errors [seeds] in the measure of the protocol's first goal, and windows a CPU second."""

    protocol: str
    models: str
    errors: tuple[float, ...]
    rate: float
    relative: float

    @property
    def line(self) -> tuple[str, ...]:
        """As `COLUMNS`."""
        mean, spread = np.mean(self.errors), np.std(self.errors)
        return self.protocol, self.models, f"{mean:.3g}", f"{spread:.2g}", f"{self.rate:,.0f}", f"{self.relative:.2f}"


def variants(protocol: Protocol) -> dict[str, tuple[Learner, ...]]:
    """The mixture as it is used, and without each of its learners; one of its networks, several of it, and one changed
    in one respect each; and what is no network, alone: as it is used where it is, plain elsewhere.
    """
    mixture = protocol.learners
    used, lstm = next(found for learner in mixture if (found := _network(learner)))
    noise = {"without noise on windows": 0.0} if lstm.jitter else {"with noise on windows": NOISE}
    networks = {
        "without the linear path": replace(lstm, skip=False),
        "half the width": replace(lstm, hidden=lstm.hidden // 2),
        "newest step alone": replace(lstm, window=1),
        **{name: replace(lstm, jitter=jitter) for name, jitter in noise.items()},
    }
    layers = {f"without {name}": bare for kind, name in LAYERS.items() if (bare := _without(used, kind)) != used}
    others = {learner.name: learner for learner in mixture if not _network(learner)}
    return {
        "mixture, as used": mixture,
        **({f"mixture without {each.name}": _but(mixture, each) for each in mixture} if len(mixture) > 2 else {}),
        "one network": (used,),
        **{f"{count} networks": (Averaged(used, count),) for count in COUNTS},
        **{name: (bare,) for name, bare in layers.items()},
        **{name: (_around(used, network),) for name, network in networks.items()},
        **{f"{name} alone": (learner,) for name, learner in others.items()},
        **{f"{each.name} alone, not of the mixture": (each,) for each in PLAIN if each.name not in others},
    }


def _but(mixture: Sequence[Learner], left_out: Learner) -> tuple[Learner, ...]:
    return tuple(each for each in mixture if each is not left_out)


def _network(learner: Learner) -> tuple[Learner, Lstm] | None:
    """A single network as it is used, and the same without what is around it; None of what is no network."""
    used = learner.learner if isinstance(learner, Averaged) else learner
    bare = used
    while isinstance(bare, Layer):
        bare = bare.learner
    return (used, bare) if isinstance(bare, Lstm) else None


def _around(used: Learner, network: Lstm) -> Learner:
    return replace(used, learner=_around(used.learner, network)) if isinstance(used, Layer) else network


def _without(used: Learner, kind: type[Layer]) -> Learner:
    if not isinstance(used, Layer):
        return used
    return used.learner if isinstance(used, kind) else replace(used, learner=_without(used.learner, kind))


def ablated(protocol: Protocol, cells: Sequence[Cell], seeds: int) -> list[Found]:
    """Every variant on the training cells of the protocol's first fold, whose test cells are not looked at."""
    train = [cells[index] for index in protocol.split(cells, 0)[0].train]
    found: list[Found] = []
    for name, learners in variants(protocol).items():
        answers = [_unseen(protocol, learners, train, seed) for seed in range(seeds)]
        rate = _windows_a_second(answers[0][1], train)
        relative = rate / (found[0].rate if found else rate)
        found.append(Found(protocol.name, name, tuple(error for error, _ in answers), rate, relative))
    return found


def _unseen(
    protocol: Protocol, learners: tuple[Learner, ...], train: Sequence[Cell], seed: int
) -> tuple[float, Ensemble]:
    """The error on cells left out, and all models."""
    ensemble = cross_fit(learners, train, protocol.inner, seed, squared=protocol.squared, repeats=protocol.repeats)
    asked = [cell.exam() for cell in train]
    said = [Said(cell, *(point,) * 3, {}, 0) for cell, point in zip(asked, ensemble.unseen, strict=True) if cell.rows]
    return score(protocol.goals[0], said).error, ensemble


def _windows_a_second(ensemble: Ensemble, train: Sequence[Cell]) -> float:
    """What all models together answer in a CPU second."""
    longest = max(train, key=lambda cell: cell.rows)
    timed = longest.taken(np.resize(np.arange(longest.rows), TIMED_ROWS))
    seconds = []
    for _ in range(TRIALS):
        began = time.thread_time()
        ensemble.predict(timed)
        seconds.append(time.thread_time() - began)
    return TIMED_ROWS / min(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, as Markdown where it does not go to a terminal; 1 where there is no data."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy.ablation", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args(arguments)
    folder = folder_of_recordings()
    if folder is None:
        return 1
    torch.set_num_threads(1)
    lines = []
    for name in options.only:
        protocol = PROTOCOLS[name]
        lines += [found.line for found in ablated(protocol, protocol.cells(folder), options.seeds)]
        print(f"{name} done", file=sys.stderr, flush=True)
    if sys.stdout.isatty():
        table = Table(*COLUMNS)
        for line in lines:
            table.add_row(*line)
        Console().print(table)
    else:
        print("\n".join(f"| {' | '.join(line)} |" for line in (COLUMNS, ["---"] * len(COLUMNS), *lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
