"""Real recordings are read whole and as they are. Counts are of the published data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from replay.feeder import Feed
from replay.fleet import members
from replay.readers import read


def test_nasa_cells_are_read_whole_with_their_glitches(recorded_data: Path) -> None:
    found = {recording.pack_id: recording for recording in read([recorded_data / "nasa_pcoe"])}
    assert len(found) == 12
    assert sum(recording.frames for recording in found.values()) == 4_010_452
    cell = found["B0005"]
    assert (cell.frames, cell.kind, cell.cells, cell.nominal_capacity_ah) == (591_458, "cell", 1, 2.0)
    assert float(cell.voltage_v.max()) > 8.3
    assert cell.truth is not None
    assert len(cell.truth.cycle) == 168
    truth = found["B0045"].truth
    assert truth is not None
    assert len(truth.cycle) == 69  # of 72: three are marked as not valid


def test_calce_cells_have_no_probe(recorded_data: Path) -> None:
    found = read([recorded_data / "calce_cs2"])
    assert [recording.frames for recording in found] == [260_931, 269_656]
    assert all(recording.temp_degc.shape[1] == 0 for recording in found)
    assert all(recording.nominal_capacity_ah == 1.1 for recording in found)


def test_the_electric_cars_log_is_one_pack_whose_current_charges_when_positive(recorded_data: Path) -> None:
    (pack,) = read([recorded_data / "leaf_bms"])
    assert (pack.pack_id, pack.kind, pack.frames, pack.voltage_v.shape) == ("leaf_A", "pack", 62_602, (62_602, 96))
    assert pack.nominal_capacity_ah == 66.2
    assert not np.isnan(pack.temp_degc).any()
    # Charging pushes the pack's voltage up, and driving pulls it down.
    mean_v = pack.voltage_v.mean(axis=1)
    step_s = np.diff(pack.t_ms) / 1000
    step_a, step_v = np.diff(pack.current_a), np.diff(mean_v)
    sudden = (step_s < 10) & (np.abs(step_a) > 30)
    assert np.corrcoef(step_a[sudden], step_v[sudden])[0, 1] > 0.9


def test_a_feed_counts_what_the_recordings_hold(recorded_data: Path) -> None:
    feed = Feed(members(read([recorded_data / "leaf_bms"])))
    records = cell_samples = 0
    for batch in feed:
        records += len(batch.values)
        cell_samples += int(batch.cells.sum())
    assert (records, cell_samples) == (feed.records, 62_602 * 96)
