"""Everything that can be set: defaults < TOML < environment < flags. Frozen, passed down, never read from a global."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    FilePath,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, TomlConfigSettingsSource
from pydantic_settings import PydanticBaseSettingsSource as Source
from pydantic_settings import SettingsConfigDict as Config

from model.schema import Frozen
from stream.errors import ConfigurationError

ENV_PREFIX = "CYCLECAST_"
# Read by the tests and benchmarks (where a browser and the recorded data lie); no settings of the service.
NOT_SETTINGS = frozenset({"CYCLECAST_FAULT", "CYCLECAST_CHROMIUM", "CYCLECAST_DATA"})

_ADDRESS = re.compile(r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})$")


def _addresses(value: str) -> str:
    parts = [part.strip() for part in value.split(",")]
    for part in parts:
        match = _ADDRESS.match(part)
        if match is None or not 0 < int(match[2]) < 65536:
            raise ValueError("should be HOST:PORT, or several with commas between")
    return ",".join(parts)


Bootstrap = Annotated[str, AfterValidator(_addresses)]
TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
InstanceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,239}$")]
AppName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class SecuritySettings(Frozen):
    """How the broker is reached: encryption and identity."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.protocol.startswith("SASL") and not (self.username and self.password):
            raise ValueError(f"{self.protocol} needs kafka.security.username and kafka.security.password")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("kafka.security.cert_file and kafka.security.key_file go together")
        return self


class KafkaSettings(Frozen):
    """Which broker, and as which consumer group."""

    bootstrap: Bootstrap = "127.0.0.1:9092"
    group: str = Field(default="cyclecast", min_length=1, max_length=249)
    instance_id: InstanceId | None = None
    session_timeout_ms: int = Field(default=10_000, ge=1000)
    security: SecuritySettings = SecuritySettings()


class TopicSettings(Frozen):
    """Names of the topics, and what a topic gets that has to be created."""

    telemetry: TopicName = "bms.telemetry"
    predictions: TopicName = "bms.predictions"
    packs: TopicName = "bms.packs"
    alerts: TopicName = "bms.alerts"
    dead_letters: TopicName = "bms.telemetry.dlq"
    partitions: PositiveInt = 8
    replication: PositiveInt = 1

    @property
    def shadow_predictions(self) -> str:
        """Where a shadow model answers."""
        return f"{self.predictions}.shadow"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = ("telemetry", "predictions", "packs", "alerts", "dead_letters")
        seen: dict[str, str] = {}
        for key in keys:
            name = getattr(self, key)
            if name in seen:
                raise ValueError(f"topics.{seen[name]} and topics.{key} are both {name!r}; give each its own topic")
            seen[name] = key
        return self


class ModelSettings(Frozen):
    """Which artifact answers (a folder, or a built-in one: ``cycle``, ``sample``), and on what."""

    path: str = Field(default="cycle", min_length=1)
    shadow: str | None = Field(default=None, min_length=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    adapt_intervals: bool = False


class BatchSettings(Frozen):
    """When the micro-batcher fires: this many windows, or the oldest has waited this long."""

    max_windows: PositiveInt = 256
    deadline_ms: PositiveInt = 20


class CommitSettings(Frozen):
    """How often the offsets of published input are committed, at most."""

    interval_ms: PositiveInt = 200


class LimitSettings(Frozen):
    """What a record may be, beyond which it is a dead letter."""

    future_tolerance_s: float = Field(default=300.0, ge=0)
    max_record_bytes: PositiveInt = 1024 * 1024
    max_out_of_orderness_s: float = Field(default=0.0, ge=0, le=3600)
    partition_cells: PositiveInt = 50_000


class StateSettings(Frozen):
    """How the state of cells is kept: in pages of a compacted topic, and for how long.

    ``start``: what happens where the pages are of another step kind or damaged; ``keep`` stops and says so, ``reset``
    gives them up and rebuilds the state from the telemetry.
    """

    page_interval_s: PositiveFloat = 300.0
    idle_ttl_s: float = Field(default=90 * 86400.0, ge=7200)
    start: Literal["keep", "reset"] = "keep"


class AlertSettings(Frozen):
    """From where on something needs a person. An alert begins, and ends, after ``patience`` predictions in a row."""

    patience: int = Field(default=3, ge=1, le=100)
    outlier_soh: float = Field(default=0.03, gt=0, lt=1)
    fade_soh: float = Field(default=0.03, gt=0, lt=1)
    p_warranty: float = Field(default=0.5, gt=0, lt=1)


class WarrantySettings(Frozen):
    """For how many cycles a cell is said to last; without it nothing is said of a warranty."""

    cycles: PositiveInt | None = None


class LogSettings(Frozen):
    """How much is logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class HttpSettings(Frozen):
    """Where ``/healthz``, ``/readyz`` and ``/metrics`` answer. Port 0 takes a free one."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 8601


class Settings(BaseSettings):
    """All settings of one process. ``app`` is the prefix of the state topic and of transactional ids."""

    model_config = Config(frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__")

    app: AppName = "cyclecast"
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    model: ModelSettings = ModelSettings()
    batch: BatchSettings = BatchSettings()
    commit: CommitSettings = CommitSettings()
    limits: LimitSettings = LimitSettings()
    state: StateSettings = StateSettings()
    alerts: AlertSettings = AlertSettings()
    warranty: WarrantySettings = WarrantySettings()
    log: LogSettings = LogSettings()
    http: HttpSettings = HttpSettings()

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[Source, ...]:
        """The constructor takes what it is given and nothing else: only `load` reads the layers."""
        return (sources["init_settings"],)

    @classmethod
    def load(
        cls,
        config: Path | None = None,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Settings:
        """Merges the layers; a later one wins, key by key.

        ``env``: the environment variables, of which those named ``CYCLECAST_*`` count. ``overrides``: dotted key to
        value, as flags give them. Raises `ConfigurationError` naming key, value, origin and reason.
        """
        file = _file(config)
        variables = _variables(env or {})
        flags = overrides or {}
        origins = dict.fromkeys(_flat(file.toml_data), str(config))
        origins |= {key: f"environment variable {environment_name(key)}" for key in variables}
        origins |= dict.fromkeys(flags, "flag")
        for key, origin in origins.items():
            if key not in KEYS:
                raise ConfigurationError(f"{origin}: {key} is not a setting{_nearest(key)}")
        environment = EnvSettingsSource(Settings)
        # It has taken this process's variables; what counts are those that were given, names in small letters.
        environment.env_vars = {environment_name(key).lower(): value for key, value in variables.items()}
        given = [InitSettingsSource(Settings, _nested(key, value)) for key, value in flags.items()]

        class Layered(Settings):
            @classmethod
            def settings_customise_sources(cls, *_: Any, **__: Any) -> tuple[Source, ...]:
                return (*given, environment, file)

        try:
            # Of this class, not of Layered: what is loaded compares and pickles like what is constructed.
            return cls(**dict(Layered()))
        except ValidationError as error:
            raise ConfigurationError(_explain(error.errors(include_url=False)[0], origins)) from None


def setting_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every dotted key that can be set, in order."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Frozen):
            yield from setting_keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def environment_name(key: str) -> str:
    """The environment variable of a dotted key: ``kafka.bootstrap`` is ``CYCLECAST_KAFKA__BOOTSTRAP``."""
    return ENV_PREFIX + key.upper().replace(".", "__")


KEYS = tuple(setting_keys())
_SECRETS = frozenset({"kafka.security.password"})


def _file(path: Path | None) -> TomlConfigSettingsSource:
    try:
        # The source passes over what is not a file; a name that was given has to be one.
        if path is not None and path.stat() and not path.is_file():
            raise ConfigurationError(f"--config {path}: not a regular file")
        return TomlConfigSettingsSource(Settings, path)
    except OSError as error:
        raise ConfigurationError(f"--config {path}: {error.strerror}") from None
    except ValueError as error:  # of TOML or of UTF-8
        raise ConfigurationError(f"--config {path}: not TOML: {error}") from None


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and key not in KEYS and (value or _is_section(key)):
            yield from _flat(value, f"{key}.")
        else:
            yield key


def _is_section(key: str) -> bool:
    return any(known.startswith(f"{key}.") for known in KEYS)


def _variables(env: Mapping[str, str]) -> dict[str, str]:
    known = {environment_name(key): key for key in KEYS}
    for name in env:
        if name.startswith(ENV_PREFIX) and name not in NOT_SETTINGS and name not in known:
            near = _near(name.removeprefix(ENV_PREFIX).lower().replace("_", "."))
            hint = f"; did you mean {environment_name(near)}?" if near else ""
            raise ConfigurationError(f"environment variable {name} is not a setting{hint}")
    return {key: env[name] for name, key in known.items() if name in env}


def _near(key: str) -> str | None:
    # Compared without separators' spelling, so that `max-windows` and `batch.maxwindows` find their key too.
    plain = {re.sub(r"[._-]", "", known): known for known in KEYS}
    last = {known.rpartition(".")[2]: known for known in reversed(KEYS)}
    wanted = re.sub(r"[._-]", "", key.lower())
    for names, text in ((plain, wanted), (last, key.rpartition(".")[2].lower())):
        found = difflib.get_close_matches(text, names, n=1, cutoff=0.75)
        if found:
            return names[found[0]]
    found = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.5)
    return plain[found[0]] if found else None


def _nearest(key: str) -> str:
    if _is_section(key):
        known = [each for each in KEYS if each.startswith(f"{key}.")]
        return f" but a section; it holds {', '.join(known)}"
    near = _near(key)
    return f"; did you mean {near}?" if near else ""


def _nested(key: str, value: object) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {first: _nested(rest, value) if rest else value}


def _explain(error: ErrorDetails, origins: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    reason = error["msg"].removeprefix("Value error, ")
    if key not in origins:
        # A rule about several keys at once: the reason names them all.
        several = sorted({origin for name, origin in origins.items() if name.startswith(key)})
        return f"{reason} (from {', '.join(several)})"
    shown = "(hidden)" if key in _SECRETS else repr(error["input"])
    return f"{key} = {shown} from {origins[key]}: {reason[:1].lower()}{reason[1:]}"
