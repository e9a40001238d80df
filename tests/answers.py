"""Answers made by hand, for tests of alerts and roll-ups."""

from __future__ import annotations

from math import nan

import numpy as np

from stream.answers import ANSWER, Answers
from stream.seams import Message

MODEL = "cycle-lstm@0123456789ab"


def answer(
    cell: int = 0,
    soh: float = 0.95,
    *,
    at: int = 0,
    rul_cycles: float = nan,
    p_warranty: float = nan,
    flags: int = 0,
    half_width: float = 0.005,
) -> np.ndarray:
    """An `ANSWER`, a scalar, that the record at offset ``at`` made due."""
    made = np.zeros((), ANSWER)
    made["cell"], made["cycle"], made["step"], made["t_ms"], made["offset"] = cell, at, at + 1, 1000 * at, at
    made["soh"] = soh - half_width, soh, soh + half_width
    made["rul_cycles"] = 0.9 * rul_cycles, rul_cycles, 1.1 * rul_cycles
    made["p_warranty"], made["flags"] = p_warranty, flags
    return made


def of_pack(*answers: np.ndarray) -> np.ndarray:
    """`ANSWER` [n]."""
    return np.concatenate((np.zeros(0, ANSWER), *(each[None] for each in answers)))


def told(*answers: tuple[str, np.ndarray], model_id: str = MODEL) -> Answers:
    """Answers of several packs, in order."""
    message = Message("predictions", b"", b"")
    return Answers(
        [message] * len(answers), model_id, [pack for pack, _ in answers], of_pack(*(each for _, each in answers))
    )
