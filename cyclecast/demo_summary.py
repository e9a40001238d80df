"""The end of the demo: what came of it, held against the known truth and simple baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import typer

from cyclecast.backtesting import errors_table
from cyclecast.commands.output import console, interval, table
from cyclecast.demo_status import Progress
from model.artifact import Manifest, read_manifest, resolve
from model.recording import Recording
from replay.prediction_table import prediction_table
from replay.scoring import metrics
from stream.records import Prediction
from stream.settings import Settings

_WEAKEST = 5
_ABOUT_BASELINES = (
    "copy last and linear are told every capacity as soon as it is measured; the model sees only voltage, current "
    "and temperature. mean of training knows nothing of the cell."
)


def true_soh(recordings: Sequence[Recording]) -> Callable[[Prediction], float | None]:
    """The measured SOH at a prediction, where there is one."""
    known: dict[tuple[str, int, int], float] = {}
    for recording in recordings:
        truth, nominal_ah = recording.truth, recording.nominal_capacity_ah
        if truth is not None and nominal_ah:
            rows = zip(truth.cell.tolist(), truth.cycle.tolist(), truth.capacity_ah.tolist(), strict=True)
            known |= {(recording.pack_id, cell, cycle): ah / nominal_ah for cell, cycle, ah in rows}

    def soh(prediction: Prediction) -> float | None:
        if prediction.cycle is None:
            return None
        return known.get((prediction.pack_id, prediction.cell, prediction.cycle))

    return soh


def unseen_cells(predictions: pa.Table, manifest: Manifest) -> tuple[pa.Table, str]:
    """The predictions to judge a model by: those of cells that took no part in its making; and what to say of it."""
    took_part = [cell.cell_id for cell in manifest.data if cell.role != "test"]
    cells = set(predictions["cell_id"].to_pylist())
    unseen = cells.difference(took_part)
    if not unseen:
        return predictions, "beware: the model was made with all of these cells, so these errors flatter it."
    kept = predictions.filter(pc.is_in(predictions["cell_id"], pa.array(sorted(unseen))))
    others = len(cells) - len(unseen)
    return kept, f"on the {len(unseen)} cells that the model never saw" + (
        f"; the other {others} took part in its making." if others else "."
    )


def show_summary(settings: Settings, recordings: list[Recording], values: list[bytes], progress: Progress) -> None:
    """Prints the summary tables."""
    out = console()
    rows = [
        ("packs, cells", f"{len(recordings)}, {sum(recording.cells for recording in recordings)}"),
        ("records sent, taken in", f"{progress.records_sent:,}, {progress.records_taken:,}"),
        ("predictions", f"{progress.predictions:,} of {len(progress.latest)} cells"),
        ("alerts raised", ", ".join(f"{count} {kind}" for kind, count in progress.raised.most_common()) or "none"),
        ("dead letters", f"{progress.dead_letters:,}"),
        ("first prediction", "none" if progress.first_s is None else f"{progress.first_s:.1f} s after the broker"),
    ]
    out.print()
    out.print(table(None, ("summary", ""), rows))
    if not values:
        typer.echo("no prediction arrived")
        return
    manifest = read_manifest(resolve(settings.model.path))
    unseen, about = unseen_cells(prediction_table(values, recordings, manifest), manifest)
    out.print()
    out.print(errors_table(metrics(unseen, manifest)))
    out.print(about)
    out.print(_ABOUT_BASELINES)
    out.print()
    out.print(_weakest(progress, true_soh(recordings)))


def _weakest(progress: Progress, truth: Callable[[Prediction], float | None]) -> object:
    known = [(each.soh, each) for each in progress.latest.values() if each.soh is not None]
    known.sort(key=lambda pair: pair[0].p50)
    rows = []
    for soh, each in known[:_WEAKEST]:
        true = truth(each)
        rows.append(
            (
                each.pack_id,
                each.cell,
                each.step if each.cycle is None else each.cycle,
                interval(soh, 3),
                "-" if true is None else f"{true:.3f}",
                interval(each.rul_cycles, 0),
            )
        )
    return table("weakest cells", ("pack", ">cell", ">cycle", "SOH", ">true SOH", "RUL cycles"), rows)
