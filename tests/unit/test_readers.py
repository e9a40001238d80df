"""Files to recordings: forms told apart, identities kept, truth found, mistakes named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replay.readers import Mapping, RecordingError, load_mapping, read
from stream.errors import ConfigurationError

HEAD = "cell_id,cycle,test_time_s,voltage_v,current_a\n"


def tidy(path: Path, rows: str = "C1,1,0,3.5,1\nC1,1,10,3.6,1\n", head: str = HEAD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + rows)
    return path


def refusal(*paths: Path, **options: object) -> str:
    with pytest.raises(RecordingError) as caught:
        read(list(paths), **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    table = pa.table({"test_time_s": [0.0, 1.0], "voltage_v": [3.0, 3.1], "current_a": [1.0, 1.0]})
    pq.write_table(table, tmp_path / "really_parquet.csv")
    tidy(tmp_path / "really_csv.parquet")
    assert [recording.pack_id for recording in read([tmp_path])] == ["C1", "really_parquet"]


def test_each_cell_id_is_a_recording_with_its_rows_in_order(tmp_path: Path) -> None:
    found = read([tidy(tmp_path / "a.csv", "B,1,0,3.1,1\nA,1,0,3.2,1\nB,1,5,3.3,1\n")])
    assert [recording.pack_id for recording in found] == ["B", "A"]
    assert found[0].voltage_v[:, 0].tolist() == pytest.approx([3.1, 3.3])
    assert (found[0].kind, found[0].cells, found[0].temp_degc.shape) == ("cell", 1, (2, 0))


def test_truth_is_valid_finite_positive_and_plausible(tmp_path: Path) -> None:
    tidy(tmp_path / "lab" / "C1.csv")
    (tmp_path / "lab" / "C1.cycles.csv").write_text(
        "cell_id,cycle,discharge_capacity_ah,valid\n"
        "C1,3,1.8,true\nC1,1,2.0,true\nC1,2,1.9,false\nC1,4,,true\nC1,5,-1,true\nC1,6,0,true\nC1,7,9.9,true\n"
        "C2,8,1.7,true\n"
    )
    recording = read([tmp_path / "lab"], mapping=Mapping(nominal_capacity_ah=2.0))[0]
    assert recording.truth is not None
    assert recording.truth.cycle.tolist() == [1, 3]
    assert recording.truth.capacity_ah.tolist() == pytest.approx([2.0, 1.8])


def test_a_companion_is_no_recording(tmp_path: Path) -> None:
    tidy(tmp_path / "C1.csv")
    (tmp_path / "C1.truth.csv").write_text("cell,cycle,capacity_ah\n0,1,2.0\n")
    assert len(read([tmp_path])) == 1
    assert "truth of a recording" in refusal(tmp_path / "C1.truth.csv")


def test_the_users_mapping_goes_before_the_built_in_ones(tmp_path: Path) -> None:
    path = tidy(tmp_path / "nasa_pcoe" / "B0005.csv", "B0005,1,0,3.5,1\n")
    assert read([path])[0].nominal_capacity_ah == 2.0
    assert read([path], mapping=Mapping(nominal_capacity_ah=1.9))[0].nominal_capacity_ah == 1.9
    elsewhere = Mapping(match=("other/*",), nominal_capacity_ah=1.9)
    assert read([path], mapping=elsewhere)[0].nominal_capacity_ah == 2.0


def test_an_unknown_cell_has_no_nominal_capacity(tmp_path: Path) -> None:
    assert read([tidy(tmp_path / "a.csv")])[0].nominal_capacity_ah is None


def test_start_is_kept_and_end_is_not(tmp_path: Path) -> None:
    path = tidy(tmp_path / "a.csv", "".join(f"C1,1,{second},3.5,1\n" for second in (0, 10, 20, 30)))
    cut = read([path], start=datetime(2020, 1, 1, 0, 0, 10), end=datetime(2020, 1, 1, 0, 0, 30, tzinfo=UTC))  # noqa: DTZ001
    assert (cut[0].t_ms - cut[0].t_ms[0]).tolist() == [0, 10_000]
    assert len(cut[0].voltage_v) == len(cut[0].current_a) == len(cut[0].cycle) == len(cut[0].temp_degc) == 2


def test_a_cut_that_leaves_nothing_says_what_there_is(tmp_path: Path) -> None:
    message = refusal(tidy(tmp_path / "a.csv"), start=datetime(2030, 1, 1, tzinfo=UTC))
    assert "2020-01-01" in message
    assert "2030-01-01" in message


def test_unix_time_wins_over_test_time(tmp_path: Path) -> None:
    head = "Test Time / s,Unix Time / s,Voltage / V,Current / A\n"
    recording = read([tidy(tmp_path / "x.bdf.csv", "0,1500000000.25,3.5,1\n", head)])[0]
    assert (recording.pack_id, recording.t_ms.tolist()) == ("x", [1_500_000_000_250])


def test_readings_beyond_float32_stay_impossible_without_a_warning(tmp_path: Path) -> None:
    recording = read([tidy(tmp_path / "a.csv", "C1,1,0,1e300,1\n")])[0]
    assert np.isinf(recording.voltage_v[0, 0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEAD + "C1,1,0,3.5,1\nC1,1,1,abc,1\n", ("voltage_v", "row 2", "abc")),
        (HEAD + "C1,1,0,3.5,1\nC1,1,nan,3.5,1\n", ("test_time_s", "row 2", "nan")),
        (HEAD + "C1,1,-1e12,3.5,1\n", ("test_time_s", "row 1", "-1000000000000.0")),
        (HEAD + "C1,1.5,0,3.5,1\n", ("cycle", "row 1", "1.5")),
        (HEAD + "C1,-7,0,3.5,1\n", ("cycle", "row 1", "-7")),
        (HEAD + ",1,0,3.5,1\nC1,1,0,3.5,1\n", ("cell_id", "row 1")),
        ("a,b\n1,2\n", ("a, b", "--map")),
        (HEAD, ("no rows",)),
        ("", ("empty",)),
        ("x\0y", ("neither Parquet nor CSV",)),
        (HEAD + "C1,1,0\n", ("cannot be read",)),
    ],
)
def test_a_bad_file_names_itself_the_column_and_the_value(tmp_path: Path, content: str, said: tuple[str, ...]) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    message = refusal(path)
    assert all(part in message for part in (str(path), *said)), message


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    pq.write_table(pa.table({"test_time_s": [0.0], "voltage_v": [3.0], "current_a": [1.0]}), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert str(path) in refusal(path)


def test_a_missing_path_an_empty_folder_and_a_repeated_identity_are_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nothing.parquet")
    (tmp_path / "empty").mkdir()
    assert "holds no recording" in refusal(tmp_path / "empty")
    one, two = tidy(tmp_path / "one.csv"), tidy(tmp_path / "two.csv")
    message = refusal(one, two)
    assert "'C1'" in message
    assert str(one) in message
    assert str(two) in message


def test_a_named_format_that_does_not_fit_names_the_missing_column(tmp_path: Path) -> None:
    path = tidy(tmp_path / "a.csv")
    assert "'t_ms' is missing for the fleet form" in refusal(path, format="fleet")
    assert "'Test Time / s' is missing for the bdf form" in refusal(path, format="bdf")
    assert "--map" in refusal(path, format="wide")


def test_a_pack_whose_cell_count_changes_in_the_file_is_refused(tmp_path: Path) -> None:
    lists = pa.array([[3.1, 3.2], [3.1]], pa.list_(pa.float32()))
    table = pa.table({"t_ms": [1_700_000_000_000, 1_700_000_001_000], "current_a": [1.0, 1.0], "voltage_v": lists})
    pq.write_table(table, tmp_path / "P.parquet")
    assert "lists of 1 and of 2" in refusal(tmp_path / "P.parquet")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nominal_capacity_ah = -1\n", "nominal_capacity_ah = -1"),
        ("nominal_capacity = 1\n", "nominal_capacity = 1"),
        ("[columns]\n", "columns.time"),
        ("not toml", "not TOML"),
    ],
)
def test_a_bad_mapping_names_the_key(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        load_mapping(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
