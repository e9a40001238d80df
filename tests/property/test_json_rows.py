"""Compiled rows of predictions, held against the encoder of all other records."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.schema import Target
from model.windows import WindowBatch
from stream.batch import Batch, Segment
from stream.codec import Codec
from stream.json_rows import DECIMALS, END, Forms, mark, millionths, rows
from stream.offsets import Ticket
from stream.publisher import Publisher
from stream.records import Prediction
from stream.seams import Message, Partition
from stream.settings import TopicSettings
from tests.plain_predictions import plain_predictions

MIN_STEPS = 3
SOH, RUL = Target(kind="soh"), Target(kind="rul")
LATER = tuple(Target(kind="capacity", horizon_cycles=cycles) for cycles in (50, 200))
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
COUNTS = st.integers(0, 2**53)
DECIMAL = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.integers(-(10**16), 10**16).map(lambda count: count / 1e6),
    st.integers(-200, 200).map(lambda count: count / 1e6),
)


@settings(max_examples=300, deadline=None)
@given(told=st.lists(st.tuples(NAMES, COUNTS, DECIMAL, DECIMAL), max_size=6))
@example(told=[("P", 0, -0.0, 0.0), ("P", 7, 1e-6, -9e-6), ("P", 10, 1e-5, 1e9), ("P", 9, 999999999.999999, 1e300)])
@example(told=[("P", 1, math.nan, math.inf), ('"\\\n\0/é😀', 1, -math.inf, 0.1)])
def test_rows_are_what_the_encoder_writes_of_each(told):
    forms = Forms()
    encode = msgspec.json.encode
    form = forms.add(encode({"name": mark(0), "n": mark(1), "values": [mark(DECIMALS + 1), mark(DECIMALS)], "é": "\0"}))
    names = sorted({name for name, *_ in told})
    whole = np.zeros((len(told), DECIMALS), np.int64)
    whole[:, 0] = [names.index(name) for name, *_ in told]
    whole[:, 1] = [count for _, count, *_ in told]
    with np.errstate(over="ignore", invalid="ignore"):
        decimals = millionths(np.array([each[2:] for each in told], np.float64).reshape(-1, 2))
    written = rows(forms, np.full(len(told), form), names, whole, decimals)
    assert written == [
        (f"{name}/{count}".encode(), encode({"name": name, "n": count, "values": [second, first], "é": "\0"}))
        for (name, count, *_), (first, second) in zip(told, (decimals / 1e6).tolist(), strict=True)
    ]


@settings(max_examples=300, deadline=None)
@given(
    targets=st.sampled_from([(SOH,), (RUL,), (SOH, RUL), (LATER[1], SOH, LATER[0], RUL), LATER]),
    owners=st.lists(st.lists(st.tuples(NAMES, st.integers(0, 1023)), min_size=1, max_size=5), min_size=1, max_size=4),
    topic=NAMES,
    models=st.lists(NAMES, min_size=1, max_size=3),
    seed=st.integers(0, 2**32 - 1),
    warranty=st.one_of(st.none(), st.integers(1, 3000)),
)
@example(targets=(SOH, RUL), owners=[[("0", 0)]] * 4, topic="0", models=["0"], seed=0, warranty=1)  # lives of 22e-6
def test_a_batch_is_told_as_its_predictions_are_one_by_one(targets, owners, topic, models, seed, warranty):
    rng = np.random.default_rng(seed)
    publisher = Publisher(
        Codec(1000),
        TopicSettings(predictions="to"),
        targets=targets,
        eol_soh=0.8,
        min_steps=MIN_STEPS,
        warranty_cycles=warranty,
    )
    for model in models:  # forms are kept from batch to batch
        batch, quantiles = drawn(rng, owners, topic, len(targets))
        expected = plain_predictions(batch, quantiles, model, targets, 0.8, MIN_STEPS, warranty)
        told = publisher.predictions(batch, quantiles, model).messages
        assert told == [
            Message(
                "to",
                f"{each.pack_id}/{each.cell}".encode(),
                msgspec.json.encode(each),
                of=each.source.partition,
            )
            for each in expected
        ]
        read: list[Prediction] = []
        assert publisher.settled(told, lambda found: read.extend(found) or found) == told  # noqa: B023
        assert read == expected
        changed = publisher.settled(told, lambda found: [msgspec.structs.replace(each, soh=None) for each in found])
        assert [each.key for each in changed] == [each.key for each in told]
        assert [Codec(1000).prediction(each.value) for each in changed] == [
            msgspec.structs.replace(each, soh=None) for each in expected
        ]


def drawn(rng: np.random.Generator, owners: list[list[tuple[str, int]]], topic: str, targets: int):
    """A batch of a segment for each list of owners, and quantiles of any size, some not finite."""
    count = sum(map(len, owners))
    batch = Batch(WindowBatch.empty(count + 2, 1, 1), filled=count)
    windows = batch.windows
    windows.length[:] = rng.integers(MIN_STEPS - 1, MIN_STEPS + 3, count + 2)
    windows.step[:] = rng.integers(0, 2**53, count + 2)
    windows.cycle[:] = rng.integers(-1, 3, count + 2)
    windows.t_ms[:] = rng.integers(0, 2**53, count + 2)
    windows.nominal_ah[:] = rng.choice([1.0, 4.9, 280.0, 1e6], count + 2)
    windows.flags[:] = rng.integers(0, 8, count + 2)
    windows.frame[:] = rng.integers(0, 9, count + 2)
    for segment in owners:
        start = batch.segments[-1].stop if batch.segments else 0
        offset = rng.integers(0, 2**53, 9)
        stop = start + len(segment)
        batch.segments.append(Segment(Partition(topic, int(rng.integers(9))), segment, Ticket(0), offset, start, stop))
    quantiles = rng.normal(0, 1, (count, targets, 3)) * 10.0 ** rng.integers(-7, 12, (count, targets, 3))
    quantiles[rng.random(quantiles.shape) < 0.05] = 0.0
    quantiles[rng.random(count) < 0.2] = np.nan
    return batch, quantiles.astype(np.float32)


def test_a_form_ends_where_its_columns_say():
    forms = Forms()
    assert [forms.add(b"[\x001\x00]"), forms.add(b"{}"), forms.add(b"\x0012\x00")] == [0, 1, 2]
    assert forms.columns.tolist() == [1, END, END, 12, END]
    assert forms.first.tolist() == [0, 2, 3]
    assert [forms.text[begin:end].tobytes() for begin, end in forms.spans] == [b"[", b"]", b"{}", b"", b""]
