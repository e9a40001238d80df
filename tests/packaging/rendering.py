"""What Helm makes of the chart for a few sets of values, kept beside them so that no test needs Helm.

``python -m tests.packaging.rendering`` writes it anew, and needs Helm. The first line of each file says of which chart
and values it is.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "cyclecast"
RENDERED = Path(__file__).parent / "rendered"
CASES = ("plain", "full", "gpu")
HELM = shutil.which("helm")
KUBERNETES = "1.37"
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not installed; what it rendered is committed and tested")

Manifest = dict[str, Any]


def values(case: str) -> Path:
    """The file of values that a case gives."""
    return RENDERED / f"{case}.values.yaml"


def committed(case: str) -> Path:
    """What was rendered of them."""
    return RENDERED / f"{case}.yaml"


def origin(case: str) -> str:
    """The first line that the rendered file has if it is of this chart and these values."""
    files = [CHART / "Chart.yaml", CHART / "values.yaml", *sorted((CHART / "templates").glob("*")), values(case)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"# sha256 of chart and values: {digest.hexdigest()}"


def helm(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Helm, which must be there, on the chart."""
    assert HELM is not None
    command = [HELM, verb, *arguments, str(CHART), "--kube-version", f"{KUBERNETES}.0"]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def templated(case: str) -> str:
    """The manifests, by Helm itself."""
    done = helm("template", "cyclecast", "--values", str(values(case)))
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(text: str) -> list[Manifest]:
    """The objects in it, in an order that is no version of Helm's."""
    return sorted(filter(None, yaml.safe_load_all(text)), key=lambda each: (each["kind"], each["metadata"]["name"]))


def of(case: str) -> Iterator[Manifest]:
    """The committed manifests of a case."""
    yield from manifests(committed(case).read_text())


def one(case: str, kind: str, name: str = "cyclecast") -> Manifest:
    """The committed manifest of this kind and name."""
    (found,) = (each for each in of(case) if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


if __name__ == "__main__":
    if HELM is None:
        raise SystemExit("rendering the chart needs helm")
    for each in CASES:
        committed(each).write_text(f"{origin(each)}\n{templated(each)}")
        print(f"written: {committed(each)}")
