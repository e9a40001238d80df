"""Tiny recordings, written by hand, through reader and feeder to the exact bytes on the wire."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from replay.feeder import Feed
from replay.fleet import members
from replay.readers import load_mapping, read
from stream.records import Telemetry


def wire(folder: Path, **options: object) -> list[tuple[bytes, bytes]]:
    """Key and value of every record of the recordings in a folder."""
    feed = Feed(members(read([folder], **options)))  # type: ignore[arg-type]
    return [pair for batch in feed for pair in zip(batch.keys, batch.values, strict=True)]


def test_tidy_csv_becomes_cell_samples_as_recorded_glitches_included(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "cell_id,cycle,test_time_s,voltage_v,current_a,temperature_c\n"
        "C1,1,0.0,3.873017,-0.0012006607,24.5\n"
        "C1,1,2.532,,1.5,\n"
        "C1,,5.0005,8.39,1.5,24.75\n"
    )
    assert wire(tmp_path) == [
        (
            b"C1",
            b'{"kind":"cell","pack_id":"C1","cell":0,"t_ms":1577836800000,"current_a":-0.0012006607,'
            b'"voltage_v":3.873017,"temp_degc":24.5,"cycle":1,'
            b'"v":1}',
        ),
        (
            b"C1",
            b'{"kind":"cell","pack_id":"C1","cell":0,"t_ms":1577836802532,"current_a":1.5,"voltage_v":null,'
            b'"temp_degc":null,"cycle":1,'
            b'"v":1}',
        ),
        (
            b"C1",
            b'{"kind":"cell","pack_id":"C1","cell":0,"t_ms":1577836805000,"current_a":1.5,"voltage_v":8.39,'
            b'"temp_degc":24.75,'
            b'"v":1}',
        ),
    ]


def test_capacity_is_told_by_the_last_usable_record_of_its_cycle(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "cell_id,cycle,test_time_s,voltage_v,current_a\n"
        "C1,1,0,3.9,1.5\nC1,1,10,4.0,1.5\nC1,1,20,,1.5\nC1,2,30,3.7,-1.5\nC1,3,40,3.7,-1.5\n"
    )
    (tmp_path / "a.truth.csv").write_text("cell,cycle,capacity_ah\n0,1,1.856\n0,3,1.84\n0,9,1.7\n")
    told = [msgspec.json.decode(value) for _, value in wire(tmp_path)]
    assert [each.get("capacity_ah") for each in told] == [None, 1.856, None, None, 1.84]
    assert b'"cycle":1,"capacity_ah":1.856,"v":1}' in wire(tmp_path)[1][1]


def test_bdf_columns_mean_the_same_as_tidy_ones(tmp_path: Path) -> None:
    tidy, bdf = tmp_path / "tidy", tmp_path / "bdf"
    tidy.mkdir()
    bdf.mkdir()
    rows = "0,3.5,-1.25,2,21.5\n10.5,3.4,-1.25,2,21.6\n"
    (tidy / "C1.csv").write_text("test_time_s,voltage_v,current_a,cycle,temperature_c\n" + rows)
    (bdf / "C1.bdf.csv").write_text(
        "Test Time / s,Voltage / V,Current / A,Cycle Count / 1,Surface Temperature / degC\n" + rows
    )
    assert wire(bdf) == wire(tidy)
    assert len(wire(bdf)) == 2


def test_fleet_parquet_becomes_pack_frames(tmp_path: Path) -> None:
    table = pa.table(
        {
            "pack_id": pa.array(["P1", "P1"]),
            "t_ms": pa.array([1_700_000_000_000, 1_700_000_010_000], pa.int64()),
            "cycle": pa.array([4, None], pa.int32()),
            "current_a": pa.array([-12.5, float("nan")], pa.float32()),
            "voltage_v": pa.array([[3.312, 3.3125], [3.3, float("nan")]], pa.list_(pa.float32(), 2)),
            "temp_degc": pa.array([[25.1], [float("nan")]], pa.list_(pa.float32(), 1)),
        }
    ).replace_schema_metadata({"nominal_capacity_ah": "5.0", "chemistry": "NMC", "kind": "pack"})
    pq.write_table(table, tmp_path / "P1.parquet")
    assert [value for _, value in wire(tmp_path)] == [
        b'{"kind":"pack","pack_id":"P1","t_ms":1700000000000,"current_a":-12.5,"voltage_v":[3.312,3.3125],'
        b'"temp_degc":[25.1],"cycle":4,"nominal_capacity_ah":5.0,"v":1}',
        b'{"kind":"pack","pack_id":"P1","t_ms":1700000010000,"current_a":null,"voltage_v":[3.3,null],'
        b'"temp_degc":[null],"nominal_capacity_ah":5.0,'
        b'"v":1}',
    ]


def test_wide_log_is_read_as_its_mapping_says(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (tmp_path / "car.toml").write_text(
        'nominal_capacity_ah = 66.2\npack_id = "car"\n[columns]\ntime = { column = "at" }\n'
        'current = { column = "amps", positive = "discharging" }\n'
        'cells = { pattern = "mv{}", count = 3, scale = 0.001, negative = "absolute" }\ntemps = ["t2", "t1"]\n'
    )
    (log / "drive.csv").write_text(
        "car,at,amps,mv1,mv2,mv3,t1,t2,t3\n"
        "L1,1490901406,20,4001,-4002,,20.5,21,\n"
        "L1,1490901400,-5,4003,4004,4005,20.6,,\n"  # the log ran backwards: kept as it was written
    )
    values = [value for _, value in wire(log, mapping=load_mapping(tmp_path / "car.toml"))]
    assert values == [
        b'{"kind":"pack","pack_id":"L1","t_ms":1490901406000,"current_a":-20.0,"voltage_v":[4.001,4.002,null],'
        b'"temp_degc":[21.0,20.5],"nominal_capacity_ah":66.2,'
        b'"v":1}',
        b'{"kind":"pack","pack_id":"L1","t_ms":1490901400000,"current_a":5.0,"voltage_v":[4.003,4.004,4.005],'
        b'"temp_degc":[null,20.6],"nominal_capacity_ah":66.2,'
        b'"v":1}',
    ]
    assert all(msgspec.json.decode(value, type=Telemetry).pack_id == "L1" for value in values)
