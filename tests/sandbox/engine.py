"""Runs a workflow of a project folder by the digdag on the PATH, else by tests/dig; its output goes to a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from tests import children

# Seconds; a digdag that cannot reach something tries for ever.
_LONGEST = 3_600.0
ROOT = Path(__file__).parent.parent.parent


def engine() -> str | None:
    """The path of digdag, None without one."""
    return shutil.which("digdag")


def run(workflow: str, *, project: Path, environ: Mapping[str, str], log: TextIO) -> int:
    """Run a workflow once; returns the exit code."""
    digdag = engine()
    command = [digdag, "run"] if digdag else [sys.executable, "-m", "tests.dig", "run", "--project", str(project)]
    # The python of a py> task is the one on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return children.run(
        [*command, workflow, "--rerun", "--no-save"],
        cwd=project if digdag else ROOT,
        env=os.environ | dict(environ) | {"PATH": path},
        limit=_LONGEST,
        capture_output=False,
        stdout=log,
        stderr=subprocess.STDOUT,
    ).returncode
