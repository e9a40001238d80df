"""Where a setting comes from, which layer wins, and what is said when it cannot be."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stream.errors import ConfigurationError
from stream.settings import KEYS, Settings, environment_name

LAYERS = ("toml", "environment", "flag")
# A value of each layer for keys of different types and depths, all unlike the default.
VALUES = {
    "app": ("a-toml", "a-env", "a-flag"),
    "kafka.bootstrap": ("toml:1", "env:2", "flag:3"),
    "kafka.security.username": ("u-toml", "u-env", "u-flag"),
    "topics.telemetry": ("t.toml", "t.env", "t.flag"),
    "batch.max_windows": (11, 12, 13),
    "limits.future_tolerance_s": (1.5, 2.5, 3.5),
    "log.level": ("debug", "warning", "error"),
}


def value_of(loaded: Settings, key: str) -> object:
    value: object = loaded
    for part in key.split("."):
        value = getattr(value, part)
    return value


def as_toml(values: dict[str, object]) -> str:
    """Dotted keys are TOML already."""
    return "".join(f"{key} = {value!r}\n" for key, value in values.items())


@given(st.dictionaries(st.sampled_from(sorted(VALUES)), st.sets(st.sampled_from(LAYERS), min_size=1)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_last_layer_that_gives_a_key_wins_key_by_key(tmp_path: Path, given_in: dict[str, set[str]]) -> None:
    by_layer: dict[str, dict[str, object]] = {layer: {} for layer in LAYERS}
    for key, layers in given_in.items():
        for layer in layers:
            by_layer[layer][key] = VALUES[key][LAYERS.index(layer)]
    config = tmp_path / "settings.toml"
    config.write_text(as_toml(by_layer["toml"]))
    environment = {environment_name(key): str(value) for key, value in by_layer["environment"].items()}
    loaded = Settings.load(config, environment, by_layer["flag"])
    for key in VALUES:
        layers = given_in.get(key, set())
        last = max((LAYERS.index(layer) for layer in layers), default=None)
        expected = value_of(Settings(), key) if last is None else VALUES[key][last]
        assert value_of(loaded, key) == expected, key


def test_a_section_given_in_part_keeps_its_other_defaults(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("[topics]\npartitions = 1\n")
    loaded = Settings.load(config, {"CYCLECAST_TOPICS__REPLICATION": "3"}, {})
    assert (loaded.topics.partitions, loaded.topics.replication) == (1, 3)
    assert loaded.topics.predictions == "bms.predictions"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kafka]\nbootstrp = 'a:1'", "kafka.bootstrp is not a setting; did you mean kafka.bootstrap?"),
        ("[batch]\nmaxwindows = 3", "did you mean batch.max_windows?"),
        ("[batch]\nmax-windows = 3", "did you mean batch.max_windows?"),
        ("bootstrap = 'a:1'", "did you mean kafka.bootstrap?"),
        ("kafka = 3", "kafka is not a setting but a section; it holds kafka.bootstrap"),
        ("[zebra]\nstripes = 1", "zebra.stripes is not a setting"),
        ("[nothing]", "nothing is not a setting"),
        ("[http]\nport = 'high'", "http.port = 'high' from {config}: input should be a valid integer"),
        ("[http]\nport = 70000", "http.port = 70000 from {config}: input should be less than or equal to 65535"),
        ("[kafka]\nbootstrap = 'nowhere'", "should be HOST:PORT"),
        ("[kafka]\nbootstrap = 'a:1,b:99999'", "should be HOST:PORT"),
        ("[topics]\npacks = 'bms.alerts'", "topics.packs and topics.alerts are both 'bms.alerts'"),
        ("[kafka.security]\nprotocol = 'SASL_SSL'", "needs kafka.security.username and kafka.security.password"),
        ("[kafka.security]\ncert_file = '/nowhere.pem'", "path does not point to a file"),
        ("[kafka", "not TOML"),
    ],
)
def test_a_wrong_file_is_told_by_key_value_origin_and_reason(tmp_path: Path, text: str, said: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        Settings.load(config)
    message = str(error.value)
    assert said.format(config=config) in message
    assert str(config) in message
    assert "\n" not in message
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CYCLECAST_KAFKA_BOOTSTRAP", "a:1", "did you mean CYCLECAST_KAFKA__BOOTSTRAP?"),
        ("CYCLECAST_BOOTSTRAP", "a:1", "did you mean CYCLECAST_KAFKA__BOOTSTRAP?"),
        ("CYCLECAST_MODEL_PATH", "x", "did you mean CYCLECAST_MODEL__PATH?"),
        ("CYCLECAST_KAFKA", "{}", "CYCLECAST_KAFKA is not a setting"),
        ("CYCLECAST_kafka__bootstrap", "a:1", "did you mean CYCLECAST_KAFKA__BOOTSTRAP?"),
        ("CYCLECAST_BATCH__DEADLINE_MS", "soon", "batch.deadline_ms = 'soon' from environment variable"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Settings.load(None, {name: value})
    assert name in str(error.value)
    assert said in str(error.value)


def test_variables_of_others_and_of_the_tests_are_left_alone() -> None:
    assert Settings.load(None, {"KAFKA_BOOTSTRAP": "a:1", "CYCLECAST_DATA": "/data", "CYCLE": "1"}) == Settings()


def test_only_load_reads_the_layers_and_only_those_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLECAST_APP", "of-the-environment")
    monkeypatch.setenv("CYCLECAST_KAFKA__GROUP", "of-the-environment")
    monkeypatch.setenv("CYCLECAST_UNKNOWN", "x")
    for pure in (Settings(), Settings.model_validate({}), Settings.load()):
        assert (pure.app, pure.kafka.group) == ("cyclecast", "cyclecast")
    assert Settings(kafka={"bootstrap": "a:1"}).kafka.group == "cyclecast"


def test_what_is_loaded_is_what_could_have_been_constructed() -> None:
    loaded = Settings.load(None, {"CYCLECAST_APP": "mine"}, {"batch.max_windows": 3})
    assert type(loaded) is Settings
    assert loaded == Settings(app="mine", batch={"max_windows": 3})
    assert pickle.loads(pickle.dumps(loaded)) == loaded


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"--config {tmp_path}: not a regular file"):
        Settings.load(tmp_path)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        Settings.load(Path("/nowhere/settings.toml"))


def test_a_secret_is_never_shown() -> None:
    secret = "hunter2-very-secret"
    environment = {
        "CYCLECAST_KAFKA__SECURITY__PASSWORD": secret,
        "CYCLECAST_KAFKA__SECURITY__USERNAME": "me",
        "CYCLECAST_KAFKA__SECURITY__PROTOCOL": "SASL_SSL",
    }
    loaded = Settings.load(None, environment)
    assert loaded.kafka.security.password is not None
    assert loaded.kafka.security.password.get_secret_value() == secret
    for shown in (repr(loaded), str(loaded), str(loaded.model_dump()), loaded.model_dump_json()):
        assert secret not in shown
    for wrong in ({"CYCLECAST_KAFKA__SECURITY__PROTOCOL": "TLS"}, {"CYCLECAST_HTTP__PORT": "x"}):
        with pytest.raises(ConfigurationError) as error:
            Settings.load(None, environment | wrong)
        assert secret not in str(error.value)
    with pytest.raises(ConfigurationError) as error:
        Settings.load(None, {}, {"kafka.security.password": [secret]})
    assert secret not in str(error.value)
    assert "kafka.security.password = (hidden)" in str(error.value)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().kafka.group = "other"  # type: ignore[misc]


def test_every_key_can_be_given_by_the_environment() -> None:
    assert len({environment_name(key) for key in KEYS}) == len(KEYS)
    for key in KEYS:
        default = value_of(Settings(), key)
        if default is not None:
            loaded = Settings.load(None, {environment_name(key): str(default)})
            assert value_of(loaded, key) == default
