"""The Python that digdag runs a task with, and what it lacks of the operator's packages."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from td_pinterest_op import requirements
from td_pinterest_op.cli.lint.dig_file import Task, UnknownValueError, Value

_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_SECONDS = 60.0
# Written so that an old Python can run it, like the file that it contains. digdag appends the project's folder.
_PROBE = f"""
import sys
sys.path.append(sys.argv[1])
{Path(requirements.__file__).read_text(encoding="utf-8")}
try:
    check_environment()
except ImportError as error:
    print(error)
"""


def find_python(task: Task) -> tuple[Value | None, str]:
    """Return the value that sets a task's Python (None: the default), and the program ("" if unknown)."""
    value = task.value.get("python") or task.value.get("py", "python")
    exported = task.exported.get("python") or _get_member(task.exported.get("py"), "python")
    if value is None and exported is None:
        return None, "python"
    try:
        command = task.fill_templates(value) if value else exported
    except UnknownValueError:
        return value, ""
    program = command[0] if isinstance(command, list) and command else command
    return value, program if isinstance(program, str) and _PYTHON.fullmatch(Path(program).name) else ""


def _get_member(value: object, key: str) -> object:
    """Return a key's value; None if it is missing, or if `value` is not a mapping."""
    return value.get(key) if isinstance(value, dict) else None


@cache
def explain_unusable_python(python: str, folder: Path) -> str:
    """Return why a Python cannot run the operator in a folder, and what to do; "" if it can."""
    other = "set another one with `_export: py: {python: /path/to/python}`"
    program = shutil.which(python)
    if program is None:
        return f"digdag runs the task with {python}, which cannot be found: {other}"
    command = [program, "-c", _PROBE, str(folder.resolve())]
    try:
        done = subprocess.run(  # noqa: S603 - digdag would run it
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"digdag runs the task with {program}, which does not run: {other}"
    if done.returncode:
        return f"digdag runs the task with {program}, which ends with code {done.returncode}: {other}"
    error = " ".join(done.stdout.split())
    return f"digdag runs the task with {program}, and {error}; or {other}" if error else ""
