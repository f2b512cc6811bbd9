"""Runs a .dig file without digdag: for CI, the sandbox, and machines without Java.

Enough of digdag to run this project's own workflows as digdag runs them; what it does not know it refuses. Every run is
a `--rerun` unless it resumes an earlier one. A `schedule:` means nothing to it, nor does `docker:`, as to digdag's
simple executor.

    from tests.dig import run
    result = run("workflows/pinterest_export.dig", secrets={"td.apikey": "…"})
    assert result.error is None, result.log
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import sleep as real_sleep

from ..children import LIMIT_SECONDS
from .config import DigError, Params, RefusedError
from .engine import Attempt
from .operators import Machine, Outcome, Start, start_process
from .session import session_params
from .workflow import check_project, read

__all__ = ["DigError", "RefusedError", "Result", "read", "run"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run.

    `log`: all that was logged; `error`: the failed tasks and their messages, None when no task failed. `done`: see
    `Attempt`.
    """

    log: str
    error: str | None
    done: Mapping[str, Outcome]


def run(
    path: str | os.PathLike[str],
    *,
    secrets: Mapping[str, str] | None = None,
    session_time: datetime | str | None = None,
    params: Params | None = None,
    environ: Mapping[str, str] | None = None,
    log: Callable[[str], object] = lambda _text: None,
    sleep: Callable[[float], object] = real_sleep,
    start: Start = start_process,
    limit: float | None = LIMIT_SECONDS,
    resume: Result | None = None,
) -> Result:
    """Run the workflow in the .dig file.

    `secrets` are by dotted name, looked up for each task when it begins. `session_time` is an aware time, or text, by
    default this day, in the workflow's time zone. `params` are those of `-p`, over which `_export` wins. `environ`
    (default: this process's) is what children get. The file's folder is the project. `log` takes text as it comes.
    `start` starts a `py>` child, which is killed after `limit` seconds. Tasks that succeeded in the run `resume` do not
    run again. Raises DigError when the workflow cannot be read, RefusedError when it holds what is unknown here; a task
    that fails is no exception but a `Result`.
    """
    file = Path(path).absolute()
    check_project(file.parent)
    workflow = read(file)
    written: list[str] = []

    def write(text: str) -> None:
        written.append(text)
        log(text)

    machine = Machine(
        project=file.parent,
        secrets={} if secrets is None else secrets,
        environ=dict(os.environ if environ is None else environ),
        log=write,
        sleep=sleep,
        start=start,
        limit=limit,
    )
    session = session_params(session_time, workflow.timezone)
    done = resume.done if resume else {}
    attempt = Attempt(machine=machine, session=session, source=file.name, done=done)
    attempt.run(workflow.root, params or {})
    failed = [node for node in attempt.nodes if node.error is not None]
    return Result(
        log="".join(written),
        error="\n".join(f"  * {node.task.name}:\n    {node.error}" for node in failed) if failed else None,
        done=attempt.done,
    )
