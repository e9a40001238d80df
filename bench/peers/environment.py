"""A virtual environment for each peer, with pins of its own; torch and the like come from the one that runs this."""

from __future__ import annotations

import hashlib
import site
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINS = Path(__file__).parent
FOLDER = ROOT / ".venv-peers"
SHARED = "shared.pth"


def python_of(peer: str) -> Path:
    """The interpreter that has what the peer needs; installs it where its pins changed since.

    Raises `subprocess.CalledProcessError` where that fails, with what pip said.
    """
    pins = PINS / f"{peer}.txt"
    if not pins.exists():
        return Path(sys.executable)
    folder = FOLDER / peer
    python, stamp = folder / "bin" / "python", folder / "pins.sha256"
    shared = "\n".join(site.getsitepackages()) + "\n"
    digest = hashlib.sha256(pins.read_bytes() + shared.encode()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == digest):
        venv.create(folder, clear=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--no-input", "-q"]
        subprocess.run([*pip, "install", "-r", str(pins)], check=True, capture_output=True, text=True)
        # After its own packages, so that a peer's pins win.
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / SHARED).write_text(shared)
        stamp.write_text(digest)
    return python
