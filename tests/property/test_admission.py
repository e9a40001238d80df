"""Frames get their places in runs; what becomes of each is what would have become of it by itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.schema import CycleSteps
from stream.cells import Cells
from stream.frames import frames_of
from stream.records import CellSample, PackFrame
from stream.settings import LimitSettings

NOW_MS = 1_731_000_000_000
IDLE_TTL_S = 1.0
ROOM = 4  # cells, fewer than all packs together have


def telemetry(pack_id, cells, voltage_v):
    """One frame of ``cells`` cells, or with a negative number the sample of a cell that reports by itself."""
    of = {"pack_id": pack_id, "t_ms": NOW_MS, "current_a": 1.0}
    if cells < 0:
        return CellSample(**of, cell=-1 - cells, voltage_v=voltage_v)
    return PackFrame(**of, voltage_v=[voltage_v] * cells)


records = st.builds(
    telemetry, st.sampled_from("ABC"), st.sampled_from([2, 2, 3, -1, -2, -3]), st.sampled_from([3.3] * 9 + [65.0])
)
waits_ms = st.sampled_from([0] * 9 + [300, 1200])


def admitted(sent, received_ms, cuts):
    """Who has a place after all of it, and which records are refused, by the words of the refusal."""
    cells = Cells(CycleSteps(), LimitSettings(partition_cells=ROOM), idle_ttl_s=IDLE_TTL_S)
    refused = {}
    taken = []
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        run = sent[begin:end]
        for kept, refusals in cells.admit(
            frames_of(run), np.arange(begin, end), received_ms[begin:end], run.__getitem__
        ):
            taken += kept.offset.tolist()
            assert [each.position for each in refusals] == sorted(each.position for each in refusals)
            refused.update({begin + each.position: each.error for each in refusals})
    packs = {
        name: (pack.life, pack.cells, sorted(pack.slot_of_cell or ()), cells.packs.seen_ms(pack))
        for name, pack in cells.packs.by_id.items()
        if not cells.packs.gone(pack, int(received_ms[-1]))
    }
    return packs, refused, taken


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(records, waits_ms, st.sampled_from([False] * 9 + [True])), min_size=1, max_size=30))
def test_frames_of_a_run_become_what_they_become_one_by_one(rows):
    sent, waited_ms, cut = (list(column) for column in zip(*rows, strict=True))
    received_ms = NOW_MS + np.cumsum(waited_ms)
    runs = admitted(sent, received_ms, [at for at in range(1, len(sent)) if cut[at]])
    assert runs == admitted(sent, received_ms, range(1, len(sent)))
