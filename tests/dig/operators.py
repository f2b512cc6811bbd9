"""The input and the outcome of an operator, and all operators but those of Treasure Data.

Sources: digdag-standards, operator/*OperatorFactory.java.
"""

import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote

from ..children import kill_after
from . import py_child
from .config import (
    ChildFailedError,
    DigError,
    Params,
    TaskFailedError,
    as_bool,
    as_text,
    copy_value,
    load,
    mapping_at,
    merge,
)

MOST_TASKS = 1000

_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z_0-9]*")
_SECRET = re.compile(r"\$\{([\s\S]*?):([\s\S]+?)\}")


class Child(Protocol):
    """A process: `stdout` is all that it prints, errors too; `returncode` is set when the `with` block ends."""

    @property
    def stdout(self) -> IO[str] | None: ...
    @property
    def returncode(self) -> int: ...
    def kill(self) -> None: ...
    def __enter__(self) -> object: ...
    def __exit__(self, *_: Any) -> None: ...


class Start(Protocol):
    """Starts a command in a folder with this environment."""

    def __call__(self, command: list[str], *, cwd: Path, env: Mapping[str, str]) -> Child: ...


def start_process(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> Child:
    """Start a process of the interpreter, as digdag does."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The surroundings of a run: the project folder (absolute), secrets by dotted name, the environment, functions.

    Secrets are looked up when a task begins. `log` takes text at once, line ends included; `sleep` takes
    seconds; `start` starts a `py>` child, which is killed after `limit` seconds.
    """

    project: Path
    secrets: Mapping[str, str]
    environ: Mapping[str, str]
    log: Callable[[str], object]
    sleep: Callable[[float], object]
    start: Start
    limit: float | None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One run of a task: `params` are its parameters, evaluated and merged; `local` those written on the task."""

    machine: Machine
    name: str
    params: Params
    local: Params


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a task: its subtasks, and the values that it stores."""

    subtask: Params = field(default_factory=dict)
    store: Params = field(default_factory=dict)


def echo(call: Call) -> Outcome:
    """`echo>`: print a line."""
    call.machine.log(as_text(call.params, "_command") + "\n")
    return Outcome()


def fail(call: Call) -> Outcome:
    """`fail>`: fail with a message."""
    raise TaskFailedError(as_text(call.params, "_command"))


def if_(call: Call) -> Outcome:
    """`if>`: `_do` when true, else `_else_do`."""
    return Outcome(subtask=mapping_at(call.params, "_do" if as_bool(call.params, "_command") else "_else_do"))


def for_each(call: Call) -> Outcome:
    """`for_each>`: `_do` for every combination of the values of its lists, with each list's value under its name."""
    lists = {
        name: _parse_collection(value, list) for name, value in _parse_collection(call.params["_command"], dict).items()
    }
    do = mapping_at(call.params, "_do")
    subtask = {"_parallel": call.local.get("_parallel", False)}
    if prod(map(len, lists.values())) > MOST_TASKS:
        raise DigError(f"Too many for_each subtasks. Limit: {MOST_TASKS}")
    for combination in itertools.product(*(list(enumerate(values)) for values in lists.values())):
        tags = [
            f"{place}={format_tag(name)}={index}={format_tag(value)}"
            for place, (name, (index, value)) in enumerate(zip(lists, combination, strict=True))
        ]
        values = {name: value for name, (_, value) in zip(lists, combination, strict=True)}
        subtask[f"+for-{'&'.join(tags)}"] = {**do, "_export": {**mapping_at(do, "_export"), **values}}
    # Without a list there is nothing to do; an empty product would be one combination.
    return Outcome(subtask=subtask if lists else {})


def format_tag(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return quote(text[:8], safe="*-._")


def _parse_collection(value: Any, kind: type[Any]) -> Any:
    """Return a list or mapping, also from JSON text, which a template gives. Raises DigError for anything else."""
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if not isinstance(parsed, kind):
        raise DigError(f"for_each> takes lists by name, not {json.dumps(value)}")
    return parsed


def call(call: Call) -> Outcome:
    """`call>`: the tasks of another file of the project, with its exports and its `_error`."""
    name = as_text(call.params, "_command")
    path = call.machine.project / (name if name.endswith(".dig") else f"{name}.dig")
    config = load(path)
    # These keys apply only to a workflow that is run directly.
    return Outcome(subtask={key: value for key, value in config.items() if key not in ("timezone", "schedule", "sla")})


def py(call: Call) -> Outcome:
    """Run the method in a child. Raises DigError when it fails, is killed or leaves no output."""
    params = merge(copy_value(mapping_at(call.params, "py")), call.params)
    folder = _folder(call, params)
    runner, input_file, output_file = (
        str((folder / name).relative_to(call.machine.project)) for name in ("runner.py", "input.json", "output.json")
    )
    python = params.get("python", sys.executable)
    command = [
        *(python if isinstance(python, list) else [python]),
        runner,
        as_text(params, "_command"),
        input_file,
        output_file,
    ]
    code = _run(call, command)
    output = _output(folder / "output.json")
    if code != 0:
        error = mapping_at(output or {}, "error")
        message = f"\nError messages from python: {error['message']} ({error['class']})" if error else ""
        trace = (f"\n\tfrom {line}" for line in error.get("backtrace", ()))
        raise ChildFailedError(f"Python command failed with code {code}{message}{''.join(trace)}")
    if output is None:
        raise ChildFailedError("output.json does not exist. Something unexpected error happened. Please check logs.")
    return Outcome(
        subtask=mapping_at(output, "subtask_config"),
        store=mapping_at(output, "store_params"),
    )


def _folder(call: Call, params: Params) -> Path:
    parent = call.machine.project / ".digdag" / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    # The folder stays, with the parameters in it, as in a local run of digdag.
    folder = Path(tempfile.mkdtemp(prefix="digdag-py-", dir=parent))
    (folder / "input.json").write_text(json.dumps({"params": params}, ensure_ascii=False), encoding="utf-8")
    shutil.copyfile(py_child.__file__, folder / "runner.py")
    return folder


def _environment(call: Call) -> dict[str, str]:
    variables = mapping_at(call.local, "_env")
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise DigError(f"Invalid _env key name: {name}")

    return {name: resolve_secrets(as_text(variables, name), call.machine) for name in variables}


def resolve_secrets(text: str, machine: Machine) -> str:
    """Replace each `${secret:…}` in `text`. Raises DigError for an unknown secret."""

    def secret(match: re.Match[str]) -> str:
        name = match[2].strip()
        if match[1].strip() != "secret":
            raise DigError(f"Invalid parametrization: '{match[0]}'")
        value = machine.secrets.get(name)
        if value is None:
            raise DigError(f"Secret not found for key: '{name}'")
        return value

    return _SECRET.sub(secret, text)


def _run(call: Call, command: list[str]) -> int:
    """Run the child, with its lines in the log; return its exit code (128 and the signal for a killed one)."""
    environ = {**call.machine.environ, **_environment(call)}
    try:
        child = call.machine.start(command, cwd=call.machine.project, env=environ)
    except OSError as error:
        raise DigError(f'Cannot run program "{command[0]}": {error.strerror}') from None
    with child, kill_after(child, call.machine.limit):
        for line in child.stdout or ():
            call.machine.log(line)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _output(path: Path) -> Params | None:
    """Return the child's output, None if there is no file. Raises DigError for invalid JSON, such as NaN."""
    try:
        text = path.read_text(encoding="utf-8")
        # Python's parser accepts NaN.
        output: Params = json.loads(text, parse_constant=lambda name: int(name))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DigError(f"output.json is no JSON: {error}") from None
    return output
