"""What ``make`` says where a tool is missing."""

from __future__ import annotations

import os
import subprocess

from tests.service import ROOT


def test_without_docker_make_image_says_in_a_line_what_to_do() -> None:
    command = ["make", "--silent", "--no-print-directory", "image", "DOCKER=no-such-builder"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said, *of_make = done.stderr.splitlines()
    assert "there is no no-such-builder here" in said
    assert "DOCKER=podman" in said
    assert [line.split(":")[0] for line in of_make] == ["make"]
    assert done.stdout == ""
