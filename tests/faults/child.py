"""Runs the operator in its own process, as digdag does, so that it can be killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import children, guard
from tests.dig import py_child
from tests.emulators.environment import FAST_CLOCK
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import SESSION, TASK_NAME, Services

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A run that was started; `temp` is its TMPDIR."""

    process: children.Process
    folder: Path
    temp: Path

    def wait(self, *, within: float = 30.0) -> tuple[int, str]:
        """Wait for the end; return the exit code, and output and error as digdag shows them. Raises TimeoutExpired."""
        try:
            said, _ = self.process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        output = self.folder / "output.json"
        shown = json.loads(output.read_text()).get("error", {}) if output.exists() else {}
        return self.process.returncode, f"{said.decode()}\n{shown.get('message', '')}"

    @property
    def stored(self) -> dict[str, Any]:
        stored: dict[str, Any] = json.loads((self.folder / "output.json").read_text())["store_params"]["pinterest"]
        return stored


# The exit code of a run that was killed.
KILLED = -signal.SIGKILL
EXPORT = "td_pinterest_op.export.PinterestExport"


def start_run(
    services: Services,
    settings: Mapping[str, Any],
    *,
    job_id: str | None,
    folder: Path,
    operator: str = EXPORT,
    output: int = subprocess.PIPE,
    environ: Mapping[str, str] | None = None,
    hurried: bool = True,
    **params: Any,
) -> Child:
    """Start the run that `Services.export` makes with the same arguments: the same task of the same session.

    Another `operator` gets its settings as they are. `output` is a descriptor for all that it prints; `params` are laid
    over the task's. `hurried`: its clocks run faster, so that creating need not wait.
    """
    least = {"type": "pinterest", "ad_account_id": AD_ACCOUNT_ID, "audience_type": "customer_list"}
    temp = folder / "tmp"
    temp.mkdir(parents=True)
    params = {
        "session_time": SESSION,
        "task_name": TASK_NAME,
        "project_id": 1,
        **({} if job_id is None else {"job_id": job_id}),
        "result_settings": {**(least if operator == EXPORT else {}), **settings},
        **params,
    }
    (folder / "input.json").write_text(json.dumps({"params": params}))
    # In its original folder, modules next to it would hide the standard library's.
    shutil.copyfile(py_child.__file__, folder / "runner.py")
    process = children.start(
        [sys.executable, "runner.py", operator, "input.json", "output.json"],
        cwd=folder,
        env={
            **os.environ,
            **services.environ,
            **(environ or {}),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *([FAST_CLOCK] if hurried else [])]),
            "TMPDIR": str(temp),
        },
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    return Child(process=process, folder=folder, temp=temp)


class Killer(list[Any]):
    """A list of requests to a service, which kills the run `victim` at the `number`-th request."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.victim: Child | None = None

    def append(self, request: object) -> None:
        super().append(request)
        if len(self) == self.number and self.victim:
            self.victim.process.kill()
            self.victim.process.wait(timeout=30)

    def wait(self, run: Child) -> tuple[int, str]:
        """Wait for the end of the run to be killed; return its exit code and the end of its output."""
        self.victim = run
        code, said = run.wait()
        self.victim = None
        guard.check(said, "the output")
        assert list(run.temp.iterdir()) == []
        return code, said[-500:]
