"""What a backtest says of packs as a whole: the SOH of their roll-ups, and whether lives ended within the warranty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from model.artifact import Manifest
from model.metrics import score
from model.recording import Recording
from replay.scoring import column, quantiles

BINS = 10  # of said probabilities


def pack_metrics(predictions: pa.Table, recordings: Sequence[Recording], manifest: Manifest) -> dict[str, Any] | None:
    """The SOH of the weakest cell, as a roll-up says it, by pack; of frames whose cells all have a value and a truth.

    None where there is no such frame.
    """
    target = next((target for target in manifest.targets if target.kind == "soh"), None)
    if target is None:
        return None
    cells = {each.pack_id: each.cells for each in recordings if each.cells > 1}
    truth, said = column(predictions, f"{target.name}_truth"), quantiles(predictions, target.name)
    pack_ids = np.array(predictions["pack_id"].to_pylist(), object)
    known = np.isfinite(truth) & np.isfinite(said).all(1) & np.isin(pack_ids, list(cells))
    names, pack = np.unique(pack_ids[known].astype(str), return_inverse=True)
    moment = np.stack((pack, predictions["t_ms"].to_numpy()[known]), 1)
    frames, frame, count = np.unique(moment, axis=0, return_inverse=True, return_counts=True)
    least = np.full((len(frames), 4), np.inf, np.float32)
    np.minimum.at(least, frame.ravel(), np.c_[said, truth][known])
    owner = names[frames[:, 0]]
    whole = count == np.array([cells[name] for name in owner], np.int64)
    found = score(target, owner[whole].tolist(), least[whole, 3], least[whole, :3])
    return None if found is None else found.model_dump(exclude_none=True)


def warranty_metrics(predictions: pa.Table, recordings: Sequence[Recording], cycles: int) -> dict[str, Any] | None:
    """How ``p_warranty`` stands to the cells whose end of life, or whose life beyond the warranty, was seen.

    ``brier``: the mean squared error (Brier 1950); ``brier_of_share``: that of saying the share of all that crossed.
    ``reliability``: of each tenth of probabilities how many there were, their mean, and the share that came true.
    None where nothing is known.
    """
    if "rul_truth" not in predictions.column_names:
        return None
    seen = {each.pack_id: 0 if each.truth is None else int(each.truth.cycle.max(initial=0)) for each in recordings}
    last = np.array([seen[pack_id] for pack_id in predictions["pack_id"].to_pylist()], np.int64)
    said, left = column(predictions, "p_warranty"), column(predictions, "rul_truth")
    ended = column(predictions, "cycle") + left <= cycles
    known = np.isfinite(said) & (np.isfinite(left) | (last >= cycles))
    if not known.any():
        return None
    said, ended = said[known].astype(np.float64), ended[known]
    place = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    return {
        "cycles": cycles,
        "n": len(said),
        "brier": float(np.mean((said - ended) ** 2)),
        "brier_of_share": float(np.var(ended)),
        "reliability": [
            {"n": int(own.sum()), "said": float(said[own].mean()), "came": float(ended[own].mean())}
            for own in (place == each for each in np.unique(place))
        ],
    }
