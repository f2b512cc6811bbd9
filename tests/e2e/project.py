"""A project of the shipped workflows, and the two ways to run its .dig files between the emulators."""

import json
import os
import re
import shutil
import sys
import time as real_time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from tests import children, dig, guard
from tests.dig import warm
from tests.emulators.environment import FAST_CLOCK, SECRETS, digdag_home
from tests.emulators.td.warehouse import fetch_rows
from tests.exporting import Services

ROOT = Path(__file__).parent.parent.parent
# In place of an installed package.
PYTHONPATH = os.pathsep.join([FAST_CLOCK, str(ROOT)])
SESSION = "2026-11-25 00:00:00"
ADD = "add_people_to_current_audience"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """The outcome of a run: whether it succeeded, and all that it printed. `result` is that of tests/dig."""

    succeeded: bool
    log: str
    result: dig.Result | None = None


# Runs a workflow of the project by its name.
Run = Callable[[str], Ran]


def secrets_for(services: Services) -> dict[str, str]:
    return {name: services.environ[variable] for name, variable in SECRETS.items()}


def copy_workflows(folder: Path) -> Path:
    """Copy the shipped workflows, as a user may do by hand, to a project that may be changed."""
    return shutil.copytree(ROOT / "workflows", folder / "project")


def copy_checkout(folder: Path) -> None:
    """Copy this checkout, with links to its environment, so that `scripts/setup` considers it up to date."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
    shutil.copytree(ROOT, folder, ignore=left_out)
    environment = folder / ".venv"
    environment.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != ".setup-stamp":
            (environment / path.name).symlink_to(path)
    (environment / ".setup-stamp").touch()


NO_MORE: Mapping[str, str] = MappingProxyType({})


def run_with_tests_dig(
    workflow: Path,
    services: Services,
    folder: Path,
    more_secrets: Mapping[str, str] = NO_MORE,
    *,
    resume: Ran | None = None,
    secrets: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = NO_MORE,
) -> Ran:
    """Run a workflow with tests/dig. The successful tasks of the run `resume` do not run again.

    `secrets`: where digdag looks them up, in place of those of the emulators.
    """
    result = dig.run(
        workflow,
        secrets=secrets_for(services) | dict(more_secrets) if secrets is None else secrets,
        environ={**os.environ, **services.environ, "PYTHONPATH": PYTHONPATH, **environ},
        session_time=SESSION,
        start=warm.start,
        # The emulated job ends within milliseconds; the engine would look again after a second.
        sleep=lambda _: real_time.sleep(0.01),
        resume=resume.result if resume else None,
    )
    check_task_outputs(workflow.parent)
    return Ran(succeeded=result.error is None, log=result.log + (result.error or ""), result=result)


def run_with_digdag(
    workflow: Path,
    services: Services,
    folder: Path,
    more_secrets: Mapping[str, str] = NO_MORE,
    *,
    resume: Ran | None = None,
) -> Ran:
    """Run a workflow with the real engine; its secrets are files in `folder`. `resume` continues its last run."""
    environment = digdag_home(folder, services.environ)
    for name, value in more_secrets.items():
        Path(environment["DIGDAG_CONFIG_HOME"], "secrets", name).write_text(value)
    done = children.run(
        ["digdag", "run", workflow.name, *([] if resume else ["--rerun"]), "--session", SESSION],
        cwd=workflow.parent,
        env=os.environ | services.environ | environment | {"PYTHONPATH": PYTHONPATH},
    )
    check_task_outputs(workflow.parent)
    return Ran(succeeded=done.returncode == 0, log=done.stdout + done.stderr)


def check_task_outputs(project: Path) -> None:
    """Check what each `py>` child wrote for digdag: message, traceback and stored parameters.

    Subtasks are left out, as digdag has to evaluate their templates.
    """
    for output in project.glob(".digdag/tmp/*/output.json"):
        left = json.loads(output.read_text())
        left.pop("subtask_config", None)
        guard.check_inert(json.dumps(left), "what a py> task left")


ENGINES: list[object] = [
    pytest.param(run_with_tests_dig, id="tests/dig"),
    pytest.param(
        run_with_digdag,
        id="digdag",
        marks=pytest.mark.digdag,
    ),
]


# One of the two functions above; arguments: a workflow, the services, a folder for secrets, further secrets.
Engine = Callable[..., Ran]


def edit_file(file: Path, *changes: tuple[str, str]) -> None:
    """Edit a file of the project: each (pattern, replacement) changes something; ^ and $ are those of a line."""
    text = file.read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count, pattern
    file.write_text(text)


def use_audience(project: Path, audience_id: str | None, *, action: str = ADD, **settings: object) -> None:
    """Fill in what pinterest_export does to which audience, and which audience pinterest_status reads.

    `settings`: further settings of the export. `audience_id`: None for an action that creates one.
    """
    of_export: dict[str, object] = {"action": action, "audience_id": audience_id, **settings}
    of_status: dict[str, object] = {"audience_id": audience_id}
    for name, changes in {"export": of_export, "status": of_status}.items():
        file = project / "config" / f"{name}.yml"
        merged = {**yaml.safe_load(file.read_text()), **changes}
        file.write_text(yaml.safe_dump({key: value for key, value in merged.items() if value is not None}))


def read_history(services: Services) -> list[dict[str, Any]]:
    """Return all rows of the history in the order of writing."""
    session = services.td.warehouse.session("sandbox", scheduled_time=0)
    return fetch_rows(session.execute("SELECT * FROM pinterest_history ORDER BY rowid"))


def age_history(services: Services) -> None:
    """Move all rows of the history a minute into the past: a test's runs end within one second, a user's do not."""
    services.td.warehouse.session("sandbox", scheduled_time=0).execute("UPDATE pinterest_history SET time = time - 60")
