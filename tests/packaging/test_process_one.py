"""Process 1 of a container: the kernel gives it no default action of a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]


@pytest.fixture
def namespace() -> list[str]:
    """What a command begins with to be process 1 of its own process namespace."""
    try:
        made = subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("no process namespace may be made here (unshare --user --pid)")
    return NAMESPACE


# The stream has its own handlers once its libraries are there; a pod may be deleted before. The others never have.
@pytest.mark.parametrize("command", ["board", "stream"])
def test_a_pod_that_is_told_to_end_before_it_runs_ends(namespace: list[str], command: str, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('kafka.bootstrap = "127.0.0.1:1"\nhttp.port = 0\n')
    started = [sys.executable, "-m", "cyclecast", command, "--config", str(tmp_path / "settings.toml")]
    with subprocess.Popen([*namespace, *started], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as outside:
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
        deadline_s = time.monotonic() + 120
        while outside.poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(OSError):  # it ended meanwhile
                for child in children.read_text().split():
                    os.kill(int(child), signal.SIGTERM)
            time.sleep(0.2)
        ended = outside.poll() is not None
        outside.kill()
    assert ended
