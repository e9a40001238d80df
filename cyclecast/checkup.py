"""The checks of ``cyclecast doctor``: each a function, each answering with what to do."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from rich.text import Text

import model
from cyclecast.commands.out_folder import refusal
from cyclecast.commands.output import console, print_json, table
from model import cuda_kernels
from model.artifact import ArtifactError, load
from model.predictor import Predictor
from stream.errors import CyclecastError
from stream.kafka.probe import access
from stream.settings import Settings

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Check(NamedTuple):
    """One answer. ``do`` is empty where nothing needs doing."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    do: str = ""


async def run_checks(settings: Settings) -> list[Check]:
    """All checks, in the order in which one would fix them."""
    checks = [check_python(), check_torch(settings.model.device), check_cache(), check_kafka_extension()]
    checks.append(check_artifact(settings))
    checks += await check_broker(settings)
    return checks


def show(checks: list[Check], *, as_json: bool) -> None:
    """Prints a table and below it what to do; or the same as JSON."""
    if as_json:
        print_json([check._asdict() for check in checks])
        return
    out = console()
    rows = [(check.name, Text(check.status, _STYLE[check.status]), check.found) for check in checks]
    out.print(table(None, ("check", "", "found"), rows))
    to_do = [check for check in checks if check.do]
    if to_do:
        out.print("\nwhat to do", style="bold")
        for check in to_do:
            out.print(f"  {check.name}: {check.do}", markup=False)


def check_python() -> Check:
    """The interpreter."""
    found = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout runs on whatever python starts it
        return Check("python", "fail", found, "use Python 3.11 or newer")
    return Check("python", "ok", found)


def check_torch(device: str) -> Check:
    """torch, the GPU and its driver, judged by what the settings ask for."""
    found = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        found += f", CUDA {torch.version.cuda}, driver {_driver() or 'unknown'}: {names}"
        if lacking := cuda_kernels.missing(torch.device("cuda")):
            return Check("torch", "warn", found, f"predictions there would be several times as fast, but {lacking}")
        return Check("torch", "ok", found)
    driver = _driver()
    if torch.version.cuda is None:
        found += " for CPU only"
        do = "install a CUDA build of torch, see https://pytorch.org/get-started" if driver else ""
    else:
        found += f" for CUDA {torch.version.cuda}"
        do = f"driver {driver} may be too old for CUDA {torch.version.cuda}: update it, or install an older torch"
        do = do if driver else ""
    found += f", NVIDIA driver {driver}, but no usable GPU" if driver else ", no NVIDIA driver: predicting on the CPU"
    if device == "cuda":
        return Check("torch", "fail", found, do or "install the NVIDIA driver, or set model.device to auto or cpu")
    return Check("torch", "warn" if driver else "ok", found, do)


def _driver() -> str | None:
    """The NVIDIA driver's version, where there is one."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    ask = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - fixed
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = answer.stdout.split() if answer.returncode == 0 else []
    return lines[0] if lines else None


def check_cache() -> Check:
    """Where the compiled kernels are kept between starts; without it every start compiles them anew."""
    for folder in _cache_folders():
        if refusal(folder) is None:
            return Check("kernel cache", "ok", f"{folder} is writable")
    do = "set NUMBA_CACHE_DIR to a writable folder, else every start spends half a minute on compiling"
    return Check("kernel cache", "warn", "no writable folder for compiled kernels", do)


def _cache_folders() -> Iterator[Path]:
    """In the order in which numba looks: its own setting, beside the sources, the user's cache."""
    if own := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(own)
        return
    yield Path(model.__file__).parent / "__pycache__"
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"


def check_kafka_extension() -> Check:
    """The compiled part of the Kafka client; without it records are parsed several times slower."""
    if importlib.util.find_spec("aiokafka.record._crecords.default_records") is not None:
        return Check("kafka client", "ok", "with its C extension")
    do = "reinstall aiokafka from a wheel: pip install --force-reinstall --only-binary aiokafka aiokafka"
    return Check("kafka client", "warn", "without its C extension: reading is several times slower", do)


def check_artifact(settings: Settings) -> Check:
    """The artifact loads, and answers on the device and in the precision that are set."""
    try:
        artifact = load(settings.model.path)
    except ArtifactError as error:
        return Check("artifact", "fail", str(error), "give another model.path, or train one: cyclecast train --help")
    try:
        predictor = Predictor(artifact, settings.model.device, settings.model.precision)
        predictor.warm()
    except (RuntimeError, ValueError) as error:
        found = f"{artifact.model_id} does not run on {settings.model.device}: {str(error).splitlines()[0]}"
        return Check("artifact", "fail", found, "set model.device to auto or cpu, and model.precision to auto")
    return Check("artifact", "ok", f"{artifact.model_id} answers on {predictor.device} in {predictor.precision}")


async def check_broker(settings: Settings) -> list[Check]:
    """Whether the broker is there, its topics, and what this process may do."""
    bootstrap = settings.kafka.bootstrap
    try:
        allowed = await access(settings)
    except CyclecastError as error:
        found, _, do = str(error).partition("; ")
        return [Check("broker", "fail", found, do)]
    except Exception as error:  # noqa: BLE001 - whatever the client says is the finding
        do = "check kafka.security.* (protocol, mechanism, user, password, files) against the broker's listener"
        return [Check("broker", "fail", f"{bootstrap} refuses: {error!r}", do)]
    checks = [Check("broker", "ok", bootstrap)]
    topics = settings.topics
    names = [topics.telemetry, topics.predictions, topics.packs, topics.alerts, topics.dead_letters]
    # Only a service on a broker with transactions makes it.
    names += [name for name in allowed.partitions if name not in names]
    checks += [
        _topic(name, allowed.partitions.get(name), allowed.read.get(name), allowed.write.get(name)) for name in names
    ]
    if allowed.group is not None:
        do = f"let this user READ the group {settings.kafka.group}, or set kafka.group to one that it may"
        checks.append(Check(f"group {settings.kafka.group}", "fail", allowed.group, do))
    elif allowed.partitions:
        checks.append(Check(f"group {settings.kafka.group}", "ok", "may be joined"))
    return checks


def _topic(name: str, partitions: int | None, read: str | None, write: str | None) -> Check:
    if partitions is None:
        do = f"`cyclecast stream` creates it where it may; otherwise create it, or let this user DESCRIBE {name}"
        return Check(name, "warn", "does not exist yet, or may not be seen", do)
    refused = [f"{verb}: {answer}" for verb, answer in (("read", read), ("write", write)) if answer is not None]
    if refused:
        return Check(name, "fail", "; ".join(refused), f"let this user READ, WRITE and DESCRIBE the topic {name}")
    return Check(name, "ok", f"{partitions} partitions, may be read and written")
