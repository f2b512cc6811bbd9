"""Runs the operator in its own process, as digdag does, so that it can be killed."""

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import children, guard
from tests.dig import py_child, warm
from tests.emulators.environment import FAST_CLOCK
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import SESSION, TASK_NAME, Services, drop_none

PACKAGE = Path(__file__).resolve().parents[2] / "td_pinterest_op"


@dataclass(frozen=True, kw_only=True)
class Child:
    """A run that was started; `temp` is its TMPDIR. `ended` is set when it is known to have ended."""

    process: warm.Child
    folder: Path
    temp: Path
    ended: threading.Event = field(default_factory=threading.Event)

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def wait(self, *, within: float = children.LIMIT_SECONDS) -> tuple[int, str]:
        """Wait for the end, at most `within` seconds before it is killed.

        Returns the exit code, and output and error as digdag shows them.
        """
        with self.process, children.kill_after(self.process, within):
            said = self.process.stdout.read()
            self.ended.set()
        output = self.folder / "output.json"
        shown = json.loads(output.read_text()).get("error", {}) if output.exists() else {}
        return self.process.returncode, f"{said}\n{shown.get('message', '')}"


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
    environ: Mapping[str, str] | None = None,
    hurried: bool = True,
    suppress: str | None = None,
    consent: str | None = None,
    **params: Any,
) -> Child:
    """Start the run that `Services.export` makes with the same arguments: the same task of the same session.

    Another `operator` gets its settings as they are. `params` are laid over the task's. `hurried`: its clocks run
    faster, so that creating need not wait.
    """
    least = {"type": "pinterest", "ad_account_id": AD_ACCOUNT_ID, "audience_type": "customer_list"}
    temp = folder / "tmp"
    temp.mkdir(parents=True)
    params = {
        "session_time": SESSION,
        "task_name": TASK_NAME,
        "project_id": 1,
        **({} if job_id is None else {"job_id": job_id}),
        "result_settings": drop_none(
            {**(least if operator == EXPORT else {}), **settings, "suppress": suppress, "consent": consent}
        ),
        **params,
    }
    (folder / "input.json").write_text(json.dumps({"params": params}))
    # In its original folder, modules next to it would hide the standard library's.
    shutil.copyfile(py_child.__file__, folder / "runner.py")
    (folder / "td_pinterest_op").symlink_to(PACKAGE)
    more = {"PYTHONPATH": FAST_CLOCK if hurried else "", "TMPDIR": str(temp)}
    process = warm.start(
        [sys.executable, "runner.py", operator, "input.json", "output.json"],
        cwd=folder,
        env={**os.environ, **services.environ, **(environ or {}), **more},
    )
    return Child(process=process, folder=folder, temp=temp)


class Killer(list[Any]):
    """A list of requests to a service, which kills the run that `wait` gets at its `number`-th request."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self._victim: Child | None = None
        self._has_victim = threading.Event()
        self._is_over = False

    def append(self, request: object) -> None:
        super().append(request)
        if len(self) == self.number and not self._is_over:
            self._has_victim.wait(children.LIMIT_SECONDS)
            assert self._victim
            self._victim.process.kill()
            self._victim.ended.wait(children.LIMIT_SECONDS)

    def wait(self, run: Child) -> tuple[int, str]:
        """Wait for the end of the run to be killed; return its exit code and the end of its output."""
        self._victim = run
        self._has_victim.set()
        code, said = run.wait()
        self._is_over = True
        guard.check(said, "the output")
        assert list(run.temp.iterdir()) == []
        return code, said[-500:]
