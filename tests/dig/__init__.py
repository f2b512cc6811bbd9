"""Runs a .dig file without digdag: for CI, the sandbox, and machines without Java.

Enough of digdag to run this project's own workflows as digdag runs them; what it does not know it refuses. Not here:
`moment` and `Date` in `${…}`, `require>`, `sh>` and most other operators, `_background`, `_after`, `_secrets`, `sla`,
schedules (a `schedule:` is accepted and does nothing), skipping of finished tasks (every run is a `--rerun`), and
secrets out of files in the home folder. `docker:` is ignored, as digdag's simple executor does.

    from tests.dig import run
    result = run("workflows/pinterest_export.dig", secrets={"td.apikey": "…"})
    assert result.status == "success", result.error
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from time import sleep as real_sleep
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .engine import Attempt
from .errors import DigError, RefusedError
from .node import Node
from .operator import Machine
from .params import Params
from .session import Session, session_start
from .workflow import Task, compile_tasks, read

__all__ = ["DigError", "RefusedError", "Result", "read", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished run.

    `status` is success or error; `store` all that tasks stored, merged; `tasks` the (full name, state) of each in the
    order of their creation, repetitions included; `log` all that was logged; `error` the failed tasks and their
    messages, None on success.
    """

    status: str
    store: Params
    tasks: list[tuple[str, str]]
    log: str
    error: str | None

    def state(self, name: str) -> str:
        """The state of the last task whose full name ends in `name`. Raises KeyError when there is none."""
        found = [state for full_name, state in self.tasks if full_name.endswith(name)]
        if not found:
            raise KeyError(name)
        return found[-1]


def run(
    path: str | os.PathLike[str],
    *,
    task: str | None = None,
    params: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    session_time: datetime | str | None = None,
    environ: Mapping[str, str] | None = None,
    log: Callable[[str], object] = lambda _text: None,
    sleep: Callable[[float], object] = real_sleep,
    python: str = sys.executable,
    on_spawn: Callable[[int], object] = lambda _pid: None,
) -> Result:
    """Run the workflow in the .dig file, or only the `task` in it whose full name ends so.

    `params` are those of `-p`; digdag gives texts, other JSON values arrive as they are. `secrets` are by dotted
    name. `session_time` is an aware time, or what `--session` takes (default: this day's start). `environ` (default:
    this process's) is what children get. The file's folder is the project. `log` takes text as it comes. `on_spawn`
    gets the process id of each `py>` child. Raises DigError when the workflow cannot be read, RefusedError when it
    holds what is unknown here; a task that fails is no exception but a `Result`.
    """
    file = Path(path).absolute()
    workflow = read(file)
    tree = compile_tasks(workflow.config, parent="", name=f"+{workflow.name}", source=file.name)
    log_text = _Log(log)
    machine = Machine(
        project=file.parent,
        secrets=dict(secrets or {}),
        environ=dict(os.environ if environ is None else environ),
        log=log_text.write,
        sleep=sleep,
        python=python,
        on_spawn=on_spawn,
    )
    session = Session(time=_session_time(session_time, workflow.timezone), timezone=workflow.timezone)
    attempt = Attempt(
        machine=machine, session=session, params=dict(params or {}), workflow=workflow.name, source=file.name
    )
    root = attempt.run(tree if task is None else _only(tree, task))
    return _result(attempt, root, log_text.text)


def _result(attempt: Attempt, root: Node, log: str) -> Result:
    succeeded = root.state == "success"
    return Result(
        status="success" if succeeded else "error",
        store=attempt.stored(),
        tasks=[(node.name, node.state) for node in attempt.nodes],
        log=log,
        error=None if succeeded else _failures(attempt.nodes),
    )


class _Log:
    def __init__(self, listener: Callable[[str], object]) -> None:
        self.text = ""
        self._listener = listener
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        with self._lock:
            self.text += text
            self._listener(text)


def _session_time(given: datetime | str | None, timezone_name: str) -> datetime:
    try:
        zone = ZoneInfo(timezone_name)
    except (ZoneInfoNotFoundError, ValueError):
        raise DigError(f"Unknown time zone: {timezone_name}") from None
    time = given if isinstance(given, datetime) else session_start(given or "last", zone, datetime.now(timezone.utc))
    return time.replace(microsecond=0)


def _only(tree: Task, name: str) -> Task:
    """The root with one task below it, as `digdag run x.dig +task` cuts it: what groups between them export is lost."""
    found = [task for task in _all(tree) if task.full_name.endswith(name)]
    if not found:
        raise DigError(f"Task pattern '{name}' doesn't match with any tasks.")
    if len(found) > 1:
        raise DigError(f"Task pattern '{name}' is ambiguous. Matching candidates are {[t.full_name for t in found]}")
    return tree if found[0] is tree else replace(tree, waves=((found[0],),))


def _all(tree: Task) -> Iterator[Task]:
    yield tree
    for wave in tree.waves:
        for task in wave:
            yield from _all(task)


def _failures(nodes: Sequence[Node]) -> str:
    failed = [
        (node.name, node.error["message"] or '{"message":""}') for node in nodes if node.state == "error" and node.error
    ]
    return "\n".join(f"  * {name}:\n    {message}" for name, message in failed)
