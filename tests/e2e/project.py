"""The bundled project, and the two ways to run its .dig files between the emulators."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import dig
from tests.exporting import Services

ROOT = Path(__file__).parent.parent.parent
# The workflow's secrets, by the name that the emulators give to each in the environment.
SECRETS = {
    "td.apikey": "TD_API_KEY",
    "pinterest.client_id": "PINTEREST_CLIENT_ID",
    "pinterest.client_secret": "PINTEREST_CLIENT_SECRET",
    "pinterest.refresh_token": "PINTEREST_REFRESH_TOKEN",
}
SESSION = "2026-11-25 00:00:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A run's exit: whether it succeeded, and all that it printed."""

    succeeded: bool
    log: str


def secrets(services: Services) -> dict[str, str]:
    return {name: services.environ[variable] for name, variable in SECRETS.items()}


def run_with_stand_in(workflow: Path, services: Services, folder: Path) -> Ran:
    """Run a workflow with tests/dig."""
    result = dig.run(workflow, secrets=secrets(services), environ=os.environ | services.environ, session_time=SESSION)
    return Ran(succeeded=result.status == "success", log=result.log + (result.error or ""))


def run_with_digdag(workflow: Path, services: Services, folder: Path) -> Ran:
    """Run a workflow with the real engine; its secrets are files in `folder`."""
    home = folder / "digdag"
    (home / "secrets").mkdir(parents=True, exist_ok=True)
    host = re.sub(r"^http://|/$", "", services.environ["TD_API_SERVER"])
    for name, value in (secrets(services) | {"td.endpoint": host, "td.use_ssl": "false"}).items():
        (home / "secrets" / name).write_text(value)
    # A py> task takes the python on the PATH; ~/.td/td.conf would win over these secrets.
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "DIGDAG_CONFIG_HOME": str(home),
        "TREASURE_DATA_CONFIG_PATH": str(folder / "no-td.conf"),
    }
    done = subprocess.run(
        ["digdag", "run", workflow.name, "--rerun", "--session", SESSION],
        cwd=workflow.parent,
        env=os.environ | services.environ | environment,
        capture_output=True,
        text=True,
        # digdag repeats a refused connection without end.
        timeout=120,
        check=False,
    )
    return Ran(succeeded=done.returncode == 0, log=done.stdout + done.stderr)


ENGINES: list[object] = [
    pytest.param(run_with_stand_in, id="tests/dig"),
    pytest.param(
        run_with_digdag,
        id="digdag",
        marks=[
            pytest.mark.digdag,
            pytest.mark.skipif(shutil.which("digdag") is None, reason="there is no digdag command on the PATH"),
        ],
    ),
]
Engine = Callable[[Path, Services, Path], Ran]
