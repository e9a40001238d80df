from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.schema import CycleSteps, SampleSteps
from model.training_config import Split, TrainingConfigError, load_config, split_by_cell

CELLS = [f"P{pack}/{cell}" for pack in range(4) for cell in range(5)]


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    config = load_config(_written(tmp_path, ""))
    assert (config.epochs, config.batch, config.hidden, config.layers) == (200, 64, 64, 2)
    assert config.steps == CycleSteps()


def test_a_file_says_steps_targets_and_split(tmp_path: Path) -> None:
    config = load_config(
        _written(
            tmp_path,
            """
            name = "mine"
            targets = [{kind = "soh"}, {kind = "capacity", horizon_cycles = 200}, {kind = "rul"}]
            [steps]
            kind = "sample"
            period_s = 5
            [split]
            test_cells = ["P1"]
            """,
        )
    )
    assert config.steps == SampleSteps(period_s=5)
    assert [target.name for target in config.targets] == ["soh", "capacity+200", "rul"]
    assert config.split.test_cells == ("P1",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch = 3", "epoch: unknown key, did you mean epochs?"),
        ("[split]\nvalidatoin = 0.2", "split.validatoin: unknown key, did you mean validation?"),
        ("zzz = 3", "zzz: unknown key"),
        ("epochs = 0", "epochs = 0: Input should be greater than 0"),
        ("lr = 'fast'", "lr = 'fast': Input should be a valid number"),
        ("test_cells = ['P1']", "test_cells: unknown key, did you mean split.test_cells?"),
        ("[steps]\nkind = 'day'", "steps:"),
        ("targets = []", "targets: Value error, targets must be one or more"),
        ('steps = { kind = "sample" }\naugment = { paces = [0.8] }', "only cycle steps have a pace"),
        ("targets = [{kind='soh'}, {kind='soh'}]", "each once"),
        (
            "[split]\nvalidation = 0.5\ncalibration = 0.5",
            "split: Value error, validation, calibration and test leave no",
        ),
        ("epochs = ", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = _written(tmp_path, text)
    with pytest.raises(TrainingConfigError) as refusal:
        load_config(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert said in str(refusal.value)


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(TrainingConfigError, match=r"not TOML: .*0xff"):
        load_config(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")


def test_every_cell_has_one_role_and_the_seed_decides() -> None:
    split = Split(validation=0.2, calibration=0.25, test=0.1)
    roles = split_by_cell(CELLS, split, 0)
    assert sorted(roles) == sorted(CELLS)
    counted = [list(roles.values()).count(role) for role in ("train", "validation", "calibration", "test")]
    assert counted == [9, 4, 5, 2]
    assert roles == split_by_cell(CELLS[::-1], split, 0)
    assert roles != split_by_cell(CELLS, split, 1)


def test_named_test_cells_and_packs_never_train() -> None:
    roles = split_by_cell(CELLS, Split(test_cells=("P1", "P3/4")), 0)
    assert sorted(cell for cell, role in roles.items() if role == "test") == [*(f"P1/{i}" for i in range(5)), "P3/4"]


def test_a_test_cell_that_no_recording_has_is_refused_lest_the_one_that_was_meant_trains() -> None:
    with pytest.raises(TrainingConfigError) as refusal:
        split_by_cell(CELLS, Split(test_cells=("P1", "P3/44", "NOPE")), 0)
    assert str(refusal.value) == (
        "split.test_cells: no recording has a cell or pack named P3/44 (did you mean P3/4?), NOPE"
    )


@pytest.mark.parametrize("count", [3, 4, 5])
def test_few_cells_still_fill_the_three_roles(count: int) -> None:
    roles = split_by_cell(CELLS[:count], Split(validation=0.4, calibration=0.5), 0)
    assert set(roles.values()) == {"train", "validation", "calibration"}


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(
        TrainingConfigError, match="2 cells in 2 cells besides the test cells; training needs at least 3"
    ):
        split_by_cell(CELLS[:6], Split(test_cells=("P0/0", "P0/1", "P0/2", "P1")), 0)
    with pytest.raises(TrainingConfigError, match="0 cells in 0 cells"):
        split_by_cell([], Split(), 0)


def test_split_by_pack_calibrates_and_tests_on_whole_packs_that_train_nothing() -> None:
    cells = [*CELLS, *(f"S{index}" for index in range(6))]
    for seed in range(20):
        roles = split_by_cell(cells, Split(by="pack", test=0.1, test_cells=("P1",)), seed)
        assert sorted(roles) == sorted(cells)
        assert set(roles.values()) == {"train", "validation", "calibration", "test"}
        for pack in range(4):
            of_pack = {roles[f"P{pack}/{cell}"] for cell in range(5)}
            assert len(of_pack) == 1 or of_pack == {"train", "validation"}
    with pytest.raises(TrainingConfigError, match="5 cells in 1 packs besides the test cells"):
        split_by_cell(CELLS, Split(by="pack", test_cells=("P0", "P1", "P2")), 0)


def test_known_cells_only_train() -> None:
    for seed in range(20):
        roles = split_by_cell(CELLS, Split(calibration=0.5, test=0.2), seed, frozenset(CELLS[:3]))
        assert [roles[cell] for cell in CELLS[:3]] == ["train"] * 3
    roles = split_by_cell(CELLS, Split(by="pack"), 0, frozenset(CELLS[:1]))
    assert [roles[cell] for cell in CELLS[:5]] == ["train"] * 5
    assert set(split_by_cell(CELLS[:3], Split(), 0, frozenset(CELLS[:1])).values()) == {
        "train",
        "validation",
        "calibration",
    }
    with pytest.raises(TrainingConfigError, match="needs at least 2 cells, one each to validate and calibrate"):
        split_by_cell(CELLS[:2], Split(), 0, frozenset(CELLS[:1]))


@given(st.sets(st.sampled_from(CELLS)), st.integers(0, 1000))
def test_each_role_gets_its_share_of_the_cells_whose_life_ended(ended: set[str], seed: int) -> None:
    split = Split(validation=0.2, calibration=0.3, test=0.1)
    roles = split_by_cell(CELLS, split, seed, ended=frozenset(ended))
    assert split_by_cell(CELLS, split, seed, ended=frozenset(CELLS)) == split_by_cell(CELLS, split, seed)
    for role in ("train", "validation", "calibration", "test"):
        of_role = {cell for cell, its in roles.items() if its == role}
        assert abs(len(ended & of_role) - len(of_role) * len(ended) / len(CELLS)) <= 1
