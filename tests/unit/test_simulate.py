"""Laws of the shipped sample fleet, and of the script that made it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import replay
from replay.simulate import main, simulate_fleet
from replay.simulated_cell import CellTraits, SimulatedChemistry
from replay.simulated_duty import Duty
from replay.simulated_fleet import FLEET, PackPlan, drawn_fleet

SAMPLES = Path(replay.__file__).parent / "samples"
EOL_SOH = 0.8
SENSOR_V = 0.003  # six sigma of the simulated sensor


@dataclass(frozen=True)
class Pack:
    plan: PackPlan
    facts: dict[bytes, bytes]
    schema: pa.Schema
    t_ms: NDArray[np.int64]
    cycle: NDArray[np.int32]
    current_a: NDArray[np.float32]
    voltage_v: NDArray[np.float32]
    temp_degc: NDArray[np.float32]
    capacity_ah: NDArray[np.float32]  # [cells, cycles]
    truth_cycle: NDArray[np.int32]  # [cells, cycles]

    @property
    def nominal_ah(self) -> float:
        return float(self.facts[b"nominal_capacity_ah"])

    @property
    def soh(self) -> NDArray[np.float64]:
        return self.capacity_ah.astype(np.float64) / self.nominal_ah


def rows(table: pa.Table, name: str) -> NDArray[np.float32]:
    column = table[name].combine_chunks()
    values: NDArray[np.float32] = column.values.to_numpy()
    return values.reshape(-1, column.type.list_size)


def load(plan: PackPlan) -> Pack:
    table = pq.read_table(SAMPLES / f"{plan.pack_id}.parquet")
    truth = pq.read_table(SAMPLES / f"{plan.pack_id}.truth.parquet")
    cells = table.schema.field("voltage_v").type.list_size
    assert truth["cell"].to_numpy().reshape(cells, -1).tolist() == [
        [cell] * (truth.num_rows // cells) for cell in range(cells)
    ]
    assert set(table["pack_id"].unique().to_pylist()) == {plan.pack_id}
    return Pack(
        plan,
        table.schema.metadata,
        table.schema,
        table["t_ms"].to_numpy(),
        table["cycle"].to_numpy(),
        table["current_a"].to_numpy(),
        rows(table, "voltage_v"),
        rows(table, "temp_degc"),
        truth["capacity_ah"].to_numpy().reshape(cells, -1),
        truth["cycle"].to_numpy().reshape(cells, -1),
    )


@pytest.fixture(scope="module")
def fleet() -> list[Pack]:
    return [load(plan) for plan in FLEET]


def test_folder_holds_the_planned_packs_in_six_megabytes() -> None:
    files = {path.name for path in SAMPLES.glob("*.parquet")}
    assert files == {name for plan in FLEET for name in (f"{plan.pack_id}.parquet", f"{plan.pack_id}.truth.parquet")}
    assert sum(path.stat().st_size for path in SAMPLES.iterdir() if path.is_file()) <= 6_000_000


def test_columns_and_metadata_are_those_a_reader_expects(fleet: list[Pack]) -> None:
    for pack in fleet:
        types = {field.name: field.type for field in pack.schema}
        assert types == {
            "pack_id": pa.dictionary(pa.int32(), pa.string()),
            "t_ms": pa.int64(),
            "cycle": pa.int32(),
            "current_a": pa.float32(),
            "voltage_v": pa.list_(pa.float32(), 8),
            "temp_degc": pa.list_(pa.float32(), 3),
        }
        assert pack.facts[b"kind"] == b"pack"
        assert pack.facts[b"chemistry"] == pack.plan.pack_id[:3].encode()
        assert pack.nominal_ah == pack.plan.chemistry.nominal_capacity_ah


def test_event_time_ascends_without_holes_and_cycles_count_up(fleet: list[Pack]) -> None:
    for pack in fleet:
        step_ms = np.diff(pack.t_ms)
        assert step_ms.min() > 0
        assert step_ms.max() <= 300_000
        assert set(np.diff(pack.cycle)) == {0, 1}
        assert pack.cycle[0] == 1
        assert pack.cycle[-1] == pack.plan.cycles


def test_all_packs_overlap_in_time(fleet: list[Pack]) -> None:
    assert max(pack.t_ms[0] for pack in fleet) < min(pack.t_ms[-1] for pack in fleet)


def test_readings_keep_to_the_limits_of_their_chemistry_and_to_the_sensor_grid(fleet: list[Pack]) -> None:
    for pack in fleet:
        chemistry = pack.plan.chemistry
        assert pack.voltage_v.min() >= chemistry.lower_v - SENSOR_V
        assert pack.voltage_v.max() <= chemistry.upper_v + SENSOR_V
        assert np.abs(pack.current_a).max() <= 2.0 * pack.nominal_ah
        assert pack.temp_degc.min() > 0
        assert pack.temp_degc.max() < 60
        for values, decimals in ((pack.voltage_v, 3), (pack.current_a, 2), (pack.temp_degc, 1)):
            assert np.array_equal(values, np.round(values.astype(np.float64), decimals).astype(np.float32))


def test_one_current_moves_all_cells_the_same_way(fleet: list[Pack]) -> None:
    for pack in fleet:
        before, after = pack.current_a[:-1], pack.current_a[1:]
        jumps = np.abs(after - before) > 0.5 * pack.nominal_ah
        assert jumps.sum() > pack.plan.cycles
        answer_v = np.diff(pack.voltage_v, axis=0)[jumps] * np.sign(after - before)[jumps, None]
        assert (answer_v > 0).mean() > 0.99


def test_every_cell_and_cycle_has_a_truth_and_fresh_cells_hold_their_rating(fleet: list[Pack]) -> None:
    for pack in fleet:
        assert pack.truth_cycle.shape == (8, pack.plan.cycles)
        assert np.array_equal(pack.truth_cycle, np.tile(np.arange(1, pack.plan.cycles + 1), (8, 1)))
        assert np.all(np.isfinite(pack.capacity_ah))
        assert np.all(np.abs(pack.soh[:, 0] - 1.0) < 0.03)


def test_capacity_never_grows(fleet: list[Pack]) -> None:
    for pack in fleet:
        assert np.diff(pack.capacity_ah, axis=1).max() <= 1e-3 * pack.nominal_ah
        assert np.all(pack.soh[:, -1] < pack.soh[:, 0] - 0.05)


def test_most_cells_cross_end_of_life_and_some_are_censored(fleet: list[Pack]) -> None:
    crossed = np.concatenate([pack.soh[:, -1] < EOL_SOH for pack in fleet])
    assert 0.6 <= crossed.mean() <= 0.9
    cycles = np.concatenate([np.argmax(pack.soh < EOL_SOH, axis=1) for pack in fleet])[crossed]
    assert np.ptp(cycles) > 80


def test_a_weak_cell_stands_out_from_a_healthy_pack(fleet: list[Pack]) -> None:
    planned = [pack for pack in fleet if pack.plan.weak_cell >= 0]
    assert planned
    for pack in planned:
        last = pack.soh[:, -1]
        rest = np.delete(last, pack.plan.weak_cell)
        assert np.ptp(rest) < 0.04
        assert last[pack.plan.weak_cell] < np.median(rest) - 0.08


def test_coulombs_of_a_reference_discharge_are_the_capacity_of_the_limiting_cell(fleet: list[Pack]) -> None:
    for pack in fleet:
        time_h = pack.t_ms / 3.6e6
        moved_ah = np.diff(time_h) * (pack.current_a[1:] + pack.current_a[:-1]) / 2.0
        out_ah = np.bincount(pack.cycle[1:], np.maximum(-moved_ah, 0.0))
        references = [number for number in range(1, pack.plan.cycles + 1) if number <= 3 or number % 10 == 0]
        ratio = out_ah[references] / pack.capacity_ah[:, np.array(references) - 1].min(axis=0)
        assert ratio.min() > 0.94
        assert ratio.max() < 1.01


def test_usage_differs_from_cycle_to_cycle(fleet: list[Pack]) -> None:
    for pack in fleet:
        moved_ah = np.diff(pack.t_ms / 3.6e6) * (pack.current_a[1:] + pack.current_a[:-1]) / 2.0
        depth = np.bincount(pack.cycle[1:], np.maximum(-moved_ah, 0.0))[1:] / pack.nominal_ah
        assert np.std(depth) > 0.08
        assert depth.max() > 0.9
        assert depth.min() < 0.6


def test_duty_is_drawn_from_its_seed() -> None:
    def cycles(seed: int) -> list[object]:
        duty = Duty(np.random.default_rng(seed), 0.5, 1.0, 25.0)
        return [duty.cycle(number) for number in range(1, 20)]

    assert cycles(1) == cycles(1)
    assert cycles(1) != cycles(2)


def test_a_drawn_pack_depends_on_its_name_alone_and_is_none_of_the_sample_fleet() -> None:
    drawn = drawn_fleet(40)
    assert drawn[:7] == drawn_fleet(7)
    assert len({plan.pack_id for plan in (*FLEET, *drawn)}) == len(FLEET) + 40
    assert [plan.chemistry.name for plan in drawn[:4]] == ["lfp", "nmc", "lfp", "nmc"]
    assert len({(plan.wear, plan.ambient_degc, plan.charge_rate_1_h) for plan in drawn}) == 40


def test_drawn_packs_are_used_and_age_as_those_of_the_sample_fleet() -> None:
    drawn = drawn_fleet(200)
    for name in ("ambient_degc", "charge_rate_1_h", "discharge_rate_1_h", "wear", "negative_loss", "positive_loss"):
        shown = [getattr(plan, name) for plan in FLEET]
        low, high = (part([getattr(plan, name) for plan in drawn]) for part in (min, max))
        assert 0.5 * min(shown) < low < 1.1 * min(shown)
        assert 0.9 * max(shown) < high < 1.3 * max(shown)
    weak = [plan for plan in drawn if plan.weak_cell >= 0]
    assert 25 < len(weak) < 75
    assert {plan.weak_cell for plan in weak} == set(range(8))
    assert all((plan.weak_factor > 1) == (plan.weak_cell >= 0) for plan in drawn)


@pytest.mark.parametrize(
    ("asked", "told"), [(["--packs", "0", "--out", "x"], "--packs: 0"), (["--packs", "2"], "--out:")]
)
def test_drawn_packs_are_some_and_never_go_among_the_samples(
    asked: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(asked)
    assert refused.value.code == 2
    assert told in capsys.readouterr().err


def test_missing_simulator_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pybamm", None)
    with pytest.raises(ImportError, match=r"pip install 'cyclecast\[simulate\]'"):
        SimulatedChemistry("lfp", 2.5, 3.6, 1e-20)


def test_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("pybamm", reason="PyBaMM is not installed")
    plans = [dataclasses.replace(plan, cycles=2) for plan in FLEET[::4]]
    first, second = (simulate_fleet(plans, tmp_path / name, lambda _pack_id: None) for name in ("a", "b"))
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_capacity_is_that_of_the_electrode_solver() -> None:
    pybamm = pytest.importorskip("pybamm", reason="PyBaMM is not installed")
    nmc = SimulatedChemistry("nmc", 3.0, 4.2, 1e-20)
    inputs = nmc.inputs(CellTraits(1.0, 0.0, 0.0, 0.004, 0.97, 1.0, 0.95))
    state = nmc.fresh(inputs)
    values = pybamm.ParameterValues("Mohtat2020")
    values.update({"Open-circuit voltage at 0% SOC [V]": 3.0, "Open-circuit voltage at 100% SOC [V]": 4.2})
    values.update({"Lower voltage cut-off [V]": 3.0, "Upper voltage cut-off [V]": 4.2})
    names = {"Q_n": "Negative electrode capacity [A.h]", "Q_p": "Positive electrode capacity [A.h]"}
    electrodes = {key: nmc.reading(state, inputs, name) for key, name in names.items()}
    lithium_ah = nmc.reading(state, inputs, "Total lithium in particles [mol]") * 96_485.33212 / 3600
    solver = pybamm.lithium_ion.ElectrodeSOHSolver(values)
    expected = solver.solve({**electrodes, "Q_Li": lithium_ah})["Q"]
    assert nmc.capacity_ah(state[None], [inputs])[0] == pytest.approx(expected, rel=1e-4)
