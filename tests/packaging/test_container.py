"""Dockerfile and compose files: what is built, what is started unless told otherwise, and what guards it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging.test_documents import CONTRACT

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GPU: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())
OURS = [name for name, service in COMPOSE["services"].items() if "build" in service]


def _stages() -> dict[str, tuple[str, list[str]]]:
    """By name, the last one's being empty: what a stage stands on, and its instructions without comments."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    parts = re.split(r"^FROM (\S+)(?: AS (\S+))?\n", text, flags=re.MULTILINE)[1:]
    return {
        name or "": (base, body.strip().splitlines())
        for base, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def test_what_is_built_unless_told_otherwise_is_the_service() -> None:
    stages = _stages()
    assert list(stages)[-1] == ""
    assert stages[""] == ("service", [])
    assert stages["notebook"][0] == "service"


@pytest.mark.parametrize("stage", ["service", "notebook"])
def test_an_image_runs_as_a_user_without_rights(stage: str) -> None:
    users = [line.split()[1] for line in _stages()[stage][1] if line.startswith("USER")]
    assert users[-1] == "10001:10001"


def test_what_is_copied_into_an_image_is_there_and_not_ignored() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [line.split()[1:] for _, body in _stages().values() for line in body if line.startswith("COPY")]
    sources = [each for words in copied if "--from=build" not in words for each in words[:-1] if each[:2] != "--"]
    assert {"locks/notebook.txt", "notebooks/", "deploy/jupyter/"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(
            f"{each}/".startswith(source) or source.startswith(each) or Path(source).match(each) for each in kept
        )


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_stands_on_the_base_of_the_image_and_is_confined(name: str) -> None:
    base = re.search(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert base
    service = COMPOSE["services"][name]
    assert service["build"]["args"]["BASE_IMAGE"] == f"${{BASE_IMAGE:-{base[1]}}}"
    assert service["build"].get("target", "") in _stages()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert {volume.partition(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])


def test_no_port_is_published_beyond_this_machine() -> None:
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_what_starts_unless_told_otherwise_is_the_stream_and_its_replay() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "profiles" not in service] == [
        "kafka",
        "stream",
        "replay",
    ]
    for name in ("stream", "replay"):
        assert COMPOSE["services"][name]["command"][0] in CONTRACT
    # A variable that has to be set is asked for whichever profile starts.
    assert ":?" not in (ROOT / "docker-compose.yml").read_text()


def test_a_gpu_goes_to_the_services_that_can_use_it() -> None:
    assert set(GPU["services"]) == {"stream", "notebook"}
    for service in GPU["services"].values():
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]


def test_a_notebook_has_the_token_of_the_environment_or_one_that_jupyter_makes() -> None:
    service = COMPOSE["services"]["notebook"]
    assert service["profiles"] == ["notebook"]
    assert service["ports"] == ["127.0.0.1:8888:8888"]
    # Empty, it is as good as none: Jupyter makes one then.
    assert service["environment"]["JUPYTER_TOKEN"] == "${JUPYTER_TOKEN:-}"
    makefile = re.search(r"^notebook:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert makefile
    assert "--ip=127.0.0.1" in makefile[1]
    # The same configuration here and there.
    assert "JUPYTER_CONFIG_PATH=$(CURDIR)/deploy/jupyter " in makefile[1]
    assert "COPY deploy/jupyter/ /opt/cyclecast/etc/jupyter/" in _stages()["notebook"][1]
    config = (ROOT / "deploy" / "jupyter" / "jupyter_lab_config.py").read_text()
    for text in ("\n".join(_stages()["notebook"][1]), makefile[1], config, repr(service.get("command"))):
        assert not re.search(r"(token|password|need_token|allow_unauthenticated\w*)['\"]?\s*=|JUPYTER_TOKEN", text)


def test_the_work_in_notebooks_outlives_its_container() -> None:
    assert "notebooks:/opt/cyclecast/notebooks" in COMPOSE["services"]["notebook"]["volumes"]
    body = _stages()["notebook"][1]
    assert "COPY --chown=10001:10001 notebooks/ /opt/cyclecast/notebooks/" in body
    assert "WORKDIR /opt/cyclecast/notebooks" in body
