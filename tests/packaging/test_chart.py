"""The Helm chart: what it renders is valid, and is what the image and the service promise.

Most of it looks at what was rendered and committed (`tests.packaging.rendering`), so that it needs no Helm.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from cyclecast import __version__
from cyclecast.cli import app
from stream import http
from stream.clock import SystemClock
from stream.errors import ConfigurationError
from stream.health import Health
from stream.kafka import client, transactions
from stream.settings import KEYS, Settings
from stream.telemetry import Telemetry
from tests.packaging.rendering import (
    CASES,
    CHART,
    DEFAULTS,
    KUBERNETES,
    Manifest,
    committed,
    helm,
    manifests,
    needs_helm,
    of,
    one,
    origin,
    templated,
    values,
)

ROOT = Path(__file__).parents[2]
JOB = ROOT / "deploy" / "kubernetes" / "train-job.yaml"
# The stage that the pods run.
IMAGE = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text().partition(" AS service\n")[2], flags=re.MULTILINE)[0]
IMAGE_ENV = dict(re.findall(r"^    ([A-Z_]+)=(\S+?)(?: \\)?$", IMAGE, re.MULTILINE))
WORKLOADS = {"StatefulSet", "Deployment", "Job"}


def workloads() -> Iterator[tuple[str, Manifest]]:
    """Every workload that the chart renders, by its case; and the training job."""
    for case in CASES:
        yield from ((f"{case} {each['kind']}", each) for each in of(case) if each["kind"] in WORKLOADS)
    yield "train Job", yaml.safe_load(JOB.read_text())


ALL = dict(workloads())
SERVING = {name: each for name, each in ALL.items() if each["kind"] != "Job"}


def pod(workload: Manifest) -> dict[str, Any]:
    return dict(workload["spec"]["template"]["spec"])


def container(workload: Manifest) -> dict[str, Any]:
    (found,) = pod(workload)["containers"]
    return dict(found)


def settings(case: str, workload: Manifest, tmp_path: Path) -> Settings:
    """What the container of this workload reads: its image's environment, its own, and the rendered file."""
    file = tmp_path / "settings.toml"
    file.write_text(one(case, "ConfigMap")["data"]["settings.toml"])
    env = dict(IMAGE_ENV)
    for variable in container(workload).get("env", []):
        value = variable.get("value", "of-a-secret")
        if value.startswith("/run/cyclecast/"):
            (tmp_path / Path(value).name).touch()
            value = str(tmp_path / Path(value).name)
        env[variable["name"]] = value
    return Settings.load(file, env)


@pytest.mark.parametrize("case", CASES)
def test_what_is_tested_was_rendered_of_the_chart_as_it_is(case: str) -> None:
    first = committed(case).read_text().partition("\n")[0]
    assert first == origin(case), "stale: `make chart`, which needs helm"


@needs_helm
@pytest.mark.parametrize("case", CASES)
def test_helm_renders_what_is_tested(case: str) -> None:
    assert manifests(templated(case)) == list(of(case))


@needs_helm
def test_helm_finds_nothing_to_say_of_the_chart() -> None:
    done = helm("lint", "--strict")
    assert done.returncode == 0, done.stdout


def versions() -> Iterator[tuple[str, str]]:
    """Each case with the newest Kubernetes known here, and with the oldest that the chart names."""
    (oldest,) = re.findall(r'^kubeVersion: ">=(\d+\.\d+)\.', (CHART / "Chart.yaml").read_text(), re.MULTILINE)
    for case in (*CASES, "job"):
        yield case, KUBERNETES
        if case != "gpu":  # its model is the volume of an image, which is younger
            yield case, oldest


@pytest.mark.parametrize(("case", "version"), list(versions()))
def test_every_manifest_is_valid(case: str, version: str) -> None:
    for manifest in of(case) if case != "job" else [ALL["train Job"]]:
        if manifest["kind"] != "ServiceMonitor":  # of the Prometheus operator
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_one_name_is_one_object(case: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in of(case)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", CASES)
def test_rendered_settings_are_the_values_and_cyclecast_takes_them(case: str, tmp_path: Path) -> None:
    taken = settings(case, one(case, "StatefulSet"), tmp_path)
    given = yaml.safe_load(values(case).read_text()).get("settings", {})
    dumped = taken.model_dump()

    def holds(tree: dict[str, Any], told: dict[str, Any]) -> None:
        for key, value in tree.items():
            if isinstance(value, dict):
                holds(value, told[key])
            else:
                assert told[key] == value, key

    holds(given, dumped)
    keys = re.findall(r"^([a-z_.]+) = ", one(case, "ConfigMap")["data"]["settings.toml"], re.MULTILINE)
    assert set(keys) <= set(KEYS)


@pytest.mark.parametrize("name", SERVING)
def test_probes_ask_where_the_service_answers(name: str, tmp_path: Path) -> None:
    case, workload = name.split(maxsplit=1)[0], SERVING[name]
    served = {route.path for route in http.service_app(Telemetry(), Health(SystemClock()), board=None).routes}  # type: ignore[attr-defined]
    (port,) = container(workload)["ports"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container(workload)[probe]["httpGet"]
        assert asked["path"] in served
        assert asked["port"] == port["name"]
    told = settings(case, workload, tmp_path)
    assert told.http.host == "0.0.0.0"
    arguments = container(workload)["args"]
    listens = arguments[arguments.index("--port") + 1] if "--port" in arguments else told.http.port
    assert int(listens) == port["containerPort"]


@pytest.mark.parametrize("case", CASES)
def test_services_and_monitors_find_the_pods(case: str) -> None:
    pods = [each["spec"]["template"] for each in of(case) if each["kind"] in WORKLOADS]
    services = [each for each in of(case) if each["kind"] == "Service"]
    for service in services:
        chosen = service["spec"]["selector"].items()
        (found,) = (each for each in pods if chosen <= each["metadata"]["labels"].items())
        ports = {port["name"] for port in found["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for monitor in (each for each in of(case) if each["kind"] == "ServiceMonitor"):
        chosen = monitor["spec"]["selector"]["matchLabels"].items()
        (watched,) = (each for each in services if chosen <= each["metadata"]["labels"].items())
        names = {port["name"] for port in watched["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= names


def test_a_pod_has_the_time_that_draining_may_take() -> None:
    drain_s = 2 * transactions.TRANSACTION_S + 2 * client.STOP_S + http._GRACE_S
    assert pod(one("plain", "StatefulSet"))["terminationGracePeriodSeconds"] >= drain_s


def test_a_pod_has_its_own_name_in_the_group() -> None:
    workload = one("plain", "StatefulSet")
    (name,) = (each for each in container(workload)["env"] if each["name"] == "CYCLECAST_KAFKA__INSTANCE_ID")
    assert name["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    for each in ALL.values():
        if each["kind"] != "StatefulSet":
            assert name not in container(each).get("env", [])


@pytest.mark.parametrize("name", ALL)
def test_a_pod_is_what_the_image_promises(name: str) -> None:
    workload = ALL[name]
    (user,) = set(re.findall(r"^USER (\d+):\1$", IMAGE, re.MULTILINE))
    security = pod(workload)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["runAsGroup"] == int(user)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(workload)["automountServiceAccountToken"] is False
    assert container(workload)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {each["mountPath"]: each for each in container(workload)["volumeMounts"]}
    volumes = {each["name"]: each for each in pod(workload)["volumes"]}
    assert {each["name"] for each in mounts.values()} == set(volumes)
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]
    for variable in ("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"):
        assert Path(IMAGE_ENV[variable]).is_relative_to("/tmp")
    written = {"/tmp", "/dev/shm", "/models"} if workload["kind"] == "Job" else {"/tmp"}
    assert {path for path, each in mounts.items() if not each.get("readOnly")} == written


@pytest.mark.parametrize("name", ALL)
def test_a_service_named_like_the_settings_stops_no_pod(name: str) -> None:
    with pytest.raises(ConfigurationError, match="CYCLECAST_PORT"):
        Settings.load(env={"CYCLECAST_PORT": "tcp://10.0.0.1:8601"})  # what Kubernetes tells pods of a Service
    assert pod(ALL[name])["enableServiceLinks"] is False


@pytest.mark.parametrize("name", ALL)
def test_a_container_runs_a_command_that_is_there(name: str) -> None:
    words = [*container(ALL[name]).get("command", ["cyclecast"]), *container(ALL[name])["args"]]
    words = words[words.index("cyclecast") + 1 :]
    command: Any = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= flags


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert container(ALL["train Job"])["image"] == container(one("plain", "StatefulSet"))["image"]
    assert container(one("plain", "StatefulSet"))["image"] == f"{DEFAULTS['image']['repository']}:{__version__}"


def test_what_is_secret_stays_in_its_secret() -> None:
    workload = one("full", "StatefulSet")
    variables = {each["name"]: each for each in container(workload)["env"]}
    password = variables["CYCLECAST_KAFKA__SECURITY__PASSWORD"]
    assert password["valueFrom"]["secretKeyRef"] == {"name": "cyclecast-kafka", "key": "password"}
    file = Path(variables["CYCLECAST_KAFKA__SECURITY__CA_FILE"]["value"])
    (volume,) = (each for each in pod(workload)["volumes"] if "projected" in each)
    (mount,) = (each for each in container(workload)["volumeMounts"] if each["name"] == volume["name"])
    (source,) = volume["projected"]["sources"]
    assert source["secret"]["items"] == [{"key": "ca.crt", "path": file.name}]
    assert str(file.parent) == mount["mountPath"]


def test_changed_settings_roll_the_pods_and_nothing_else_does() -> None:
    marks = {}
    for case in CASES:
        metadata = one(case, "StatefulSet")["spec"]["template"]["metadata"]
        marks[one(case, "ConfigMap")["data"]["settings.toml"]] = metadata["annotations"]["cyclecast/settings"]
        assert not any(__version__ in label for label in metadata["labels"].values())
    assert len(set(marks.values())) == len(marks)


def test_a_gpu_is_asked_for_and_used_or_the_pod_ends(tmp_path: Path) -> None:
    workload = one("gpu", "StatefulSet")
    assert container(workload)["resources"]["limits"]["nvidia.com/gpu.shared"] == 1
    assert container(workload)["resources"]["limits"]["memory"] == DEFAULTS["resources"]["limits"]["memory"]
    assert pod(workload)["runtimeClassName"] == "nvidia"
    assert {each["key"] for each in pod(workload)["tolerations"]} == {"nvidia.com/gpu", "batteries"}
    assert settings("gpu", workload, tmp_path).model.device == "cuda"
    plain = one("plain", "StatefulSet")
    assert settings("plain", plain, tmp_path).model.device == "auto"
    assert "nvidia" not in json.dumps(plain)


def test_the_job_writes_where_the_stream_reads() -> None:
    claims = {
        kind: next(
            each["persistentVolumeClaim"]["claimName"] for each in pod(ALL[kind])["volumes"] if each["name"] == "models"
        )
        for kind in ("train Job", "full StatefulSet")
    }
    assert len(set(claims.values())) == 1
    arguments = container(ALL["train Job"])["args"]
    file = tomllib.loads(one("full", "ConfigMap")["data"]["settings.toml"])
    assert arguments[arguments.index("--out") + 1] == file["model"]["path"]
