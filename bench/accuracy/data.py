"""Where recorded cells lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def folder_of_recordings() -> Path | None:
    """``CYCLECAST_DATA``, else ``shared/data`` beside the repository; None, and said, where that is no folder."""
    folder = Path(os.environ.get("CYCLECAST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if folder.is_dir():
        return folder
    print(
        f"no recorded batteries: {folder} is not a folder; set CYCLECAST_DATA to one that holds them", file=sys.stderr
    )
    return None
