"""What an operator is given and what it gives back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os.path import normpath
from pathlib import Path

from .errors import DigError, OutsideError, SecretMissingError
from .params import Params, optional_text

_SECRET = re.compile(r"\$\{([\s\S]*?):([\s\S]+?)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a run may use: the project folder (absolute), secrets by dotted name, the environment, its doors.

    `log` takes text as it comes, line ends included; `sleep` takes seconds; `python` is the interpreter of `py>` when
    the workflow names none; `on_spawn` gets the process id of each `py>` child.
    """

    project: Path
    secrets: Mapping[str, str]
    environ: Mapping[str, str]
    log: Callable[[str], object]
    sleep: Callable[[float], object]
    python: str
    on_spawn: Callable[[int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One run of a task: `params` are its parameters, evaluated and merged; `local` those written on the task."""

    machine: Machine
    task_id: int
    name: str
    workflow: str
    params: Params
    local: Params

    def info(self, text: str) -> None:
        """Write a line about this task into the log."""
        self.machine.log(f"[INFO] ({self.name}): {text}\n")

    def file(self, name: str) -> Path:
        """A path below the working folder. Raises OutsideError when it leads out of the project."""
        path = Path(normpath(self.workdir / name))
        if not path.is_relative_to(self.machine.project):
            raise OutsideError(f"File name must not be outside of project path ({self.machine.project}): {name}")
        return path

    @property
    def workdir(self) -> Path:
        """The folder that the task works in. Raises OutsideError when `_workdir` leads out of the project."""
        name = optional_text(self.params, "_workdir") or ""
        path = Path(normpath(self.machine.project / name))
        if not path.is_relative_to(self.machine.project):
            raise OutsideError(
                f"Working directory must not be outside of project path ({self.machine.project}): {name}"
            )
        return path

    def with_secrets(self, text: str) -> str:
        """`text` with each `${secret:name}` replaced. Raises DigError for a missing secret and for `${other:name}`."""
        return _SECRET.sub(self._secret, text)

    def _secret(self, match: re.Match[str]) -> str:
        if match[1].strip() != "secret":
            raise DigError(f"Invalid parametrization: '{match[0]}'")
        name = match[2].strip()
        if name not in self.machine.secrets:
            raise SecretMissingError(f"Secret not found for key: '{name}'")
        return self.machine.secrets[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task leaves: tasks to run below it, what it stores and exports, and dotted names it forgets first."""

    subtask: Params = field(default_factory=dict)
    store: Params = field(default_factory=dict)
    export: Params = field(default_factory=dict)
    forget: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """`retries`: whether `_retry` on the task repeats it; an operator of digdag that is not a BaseOperator does not."""

    run: Callable[[Call], Outcome]
    retries: bool = False
