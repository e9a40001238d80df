"""What was said of cells: messages to be published, and the columns that alerts and roll-ups are made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.seams import Message

# One prediction. NaN where it has no value; cycle: -1 where it has no number; flags: bits of `model.block`.
ANSWER = np.dtype(
    [
        ("cell", np.int32),
        ("cycle", np.int32),
        ("step", np.int64),
        ("t_ms", np.int64),
        ("offset", np.int64),
        ("soh", np.float32, (3,)),
        ("rul_cycles", np.float32, (3,)),
        ("p_warranty", np.float32),
        ("flags", np.uint8),
    ]
)


class Answers(NamedTuple):
    """Predictions by one model, in the order in which they became due. packs: whose each is. rows: `ANSWER` [n]."""

    messages: Sequence[Message]
    model_id: str
    packs: Sequence[str]
    rows: NDArray[Any]

    @staticmethod
    def joined(pieces: Iterable[Answers]) -> Iterator[Answers]:
        """The same with what one model said in one piece: batches end anywhere, in the midst of a record, too."""
        for model_id, group in groupby(pieces, key=attrgetter("model_id")):
            first, *others = group
            if not others:
                yield first
                continue
            messages, _, packs, rows = zip(first, *others, strict=True)
            yield Answers([*chain(*messages)], model_id, [*chain(*packs)], np.concatenate(rows))

    def part(self, start: int, stop: int) -> Answers:
        """Those from ``start`` to ``stop``."""
        return Answers(self.messages[start:stop], self.model_id, self.packs[start:stop], self.rows[start:stop])
