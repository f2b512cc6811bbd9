"""`py>`: a method of the project's Python, in a child process. Source: digdag-standards, PyOperatorFactory.java."""

from __future__ import annotations

import codecs
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import py_child
from .errors import CommandError, DigError
from .operator import Call, Outcome
from .params import Params, as_text, nested, with_defaults

_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z_0-9]*")


def py(call: Call) -> Outcome:
    """Run the method in a child. Raises CommandError when it fails, is killed or leaves no output."""
    params = with_defaults(call.params, nested(call.params, "py"))
    folder = _folder(call)
    (folder / "input.json").write_text(json.dumps({"params": params}, ensure_ascii=False), encoding="utf-8")
    shutil.copyfile(py_child.__file__, folder / "runner.py")
    names = (os.path.relpath(folder / name, call.workdir) for name in ("runner.py", "input.json", "output.json"))
    runner, *files = names
    command = [*_python(params, call.machine.python), runner, as_text(params, "_command"), *files]
    code = _run(call, command, {**call.machine.environ, **_environment(call)})
    output = _output(folder / "output.json")
    if code != 0:
        raise CommandError(f"Python command failed with code {code}{_reason(output)}")
    if output is None:
        raise CommandError("output.json does not exist. Something unexpected error happened. Please check logs.")
    return Outcome(
        subtask=nested(output, "subtask_config"),
        export=nested(output, "export_params"),
        store=nested(output, "store_params"),
    )


def _folder(call: Call) -> Path:
    parent = call.machine.project / ".digdag" / "tmp"
    parent.mkdir(parents=True, exist_ok=True)
    # It stays, with the parameters in it: so it does in a local run of digdag.
    return Path(tempfile.mkdtemp(prefix=f"digdag-py-{call.task_id}-", dir=parent))


def _python(params: Params, default: str) -> list[str]:
    if "python" not in params:
        return [default]
    value = params["python"]
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise DigError(f"Invalid python: {json.dumps(value)}")
    return [str(part) for part in value]


def _environment(call: Call) -> dict[str, str]:
    given = nested(call.local, "_env")
    for name in given:
        if not _VARIABLE.fullmatch(name):
            raise DigError(f"Invalid _env key name: {name}")
    return {name: call.with_secrets(as_text(given, name)) for name in given}


def _run(call: Call, command: list[str], environ: Mapping[str, str]) -> int:
    """The exit code (killed: 128 and the signal). stdout and stderr go into the log as they come."""
    try:
        child = subprocess.Popen(
            command,
            cwd=call.workdir,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        where = f'Cannot run program "{command[0]}" (in directory "{call.workdir}")'
        raise CommandError(f"{where}: error={error.errno}, {error.strerror}") from None
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    with child:
        call.machine.on_spawn(child.pid)
        assert child.stdout is not None
        while chunk := os.read(child.stdout.fileno(), 65536):
            call.machine.log(decoder.decode(chunk))
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _output(path: Path) -> Params | None:
    try:
        output = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CommandError(f"output.json is no JSON: {error}") from None
    return output if isinstance(output, dict) else {}


def _no_constant(name: str) -> Any:
    raise ValueError(f"Non-standard token '{name}'")


def _reason(output: Params | None) -> str:
    if output is None:
        return ""
    error = nested(output, "error")
    reason = "\nError messages from python"
    if error.get("message") is not None:
        reason += f": {error['message']}"
    if error.get("class") is not None:
        reason += f" ({error['class']})"
    if error.get("backtrace"):
        reason += "\n\tfrom " + "\n\tfrom ".join(error["backtrace"])
    return reason
