"""Checks of a project folder: what a push leaves out, the size of the archive, and the Python of the tasks."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pathspec

from td_pinterest_op import requirements
from td_pinterest_op.cli.lint.archive import collect_archive, read_digdagignore
from td_pinterest_op.cli.lint.dig_file import DigFile, Task, UnknownValueError, Value, make_place
from td_pinterest_op.cli.lint.structure import check_template

PACKAGE = "td_pinterest_op"
# The parameters of a task that may name a file with a query.
_SQL = ("suppress", "consent", "query")
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


def check_project(dig: DigFile, tasks: list[Task]) -> None:
    """Add findings about files that a push would omit, an archive that is too large, and an unsuitable Python."""
    ignored = read_digdagignore(dig.folder)
    for task in tasks:
        _check_query_file(dig, task)
    for value, name in _find_referenced_files(dig, tasks):
        if message := _explain_omission(dig.folder, name, ignored):
            dig.add_error(value, "left-out", message)
    package, uses = dig.folder / PACKAGE, next(filter(runs_package, tasks), None)
    in_checkout = (dig.folder.parent / "scripts" / "bundle").is_file()  # which lays the package next to the workflows
    if uses and not in_checkout and not package.is_dir():
        message = (
            f"the folder {PACKAGE} is not next to the workflow: run scripts/bundle, which puts it there. Without it, "
            "a task cannot find the operator, unless the operator is installed in the task's Python"
        )
        dig.add_warning(uses.command or uses.value, "left-out", message)
    if uses and package.is_dir() and ignored.match_file(f"{PACKAGE}/__init__.py"):
        message = f".digdagignore names {PACKAGE}, so a push leaves out the operator: remove the line"
        dig.add_error(uses.command or uses.value, "left-out", message)
    # Only hosted Treasure Workflow needs a container image.
    is_hosted = any(task.value.get("docker") or "docker" in task.exported for task in tasks)
    if package.is_dir():
        _check_archive_size(dig, is_hosted=is_hosted)
    if (package / "__init__.py").is_file() and not is_hosted:
        for task in filter(runs_package, tasks):
            setting, python = _find_python(task)
            if python and (message := explain_unusable_python(python, dig.folder)):
                dig.add_warning(setting or make_place(dig.folder), "python", message)


def _check_query_file(dig: DigFile, task: Task) -> None:
    """Add a finding for each query file of a task that is blank, or has a template that digdag does not fill in."""
    if task.operator == "td" and task.command:
        named = [(task.command, task.fill_text(task.command))]
    else:
        named = [each for key in _SQL for each in _find_query_files(dig, task, key)] if runs_package(task) else []
    for value, name in named:
        path = dig.folder / name
        if not name or not path.is_file():
            continue
        sql = path.read_text(encoding="utf-8", errors="replace")
        if not sql.strip():
            dig.add_error(value, "source", f"{name} is blank: write a query into it")
        elif task.operator == "td":
            check_template(dig, task, value, sql)
        elif "${" in sql:
            dig.add_error(
                value,
                "template",
                f"{name} contains a template, which digdag fills in only for td>: write the value itself",
            )


def _check_archive_size(dig: DigFile, *, is_hosted: bool) -> None:
    """Add a finding if hosted Treasure Workflow or a digdag server would refuse the archive because of its size."""
    archive = collect_archive(dig.folder.resolve())
    # All workflows of a folder share one archive, and this finding.
    if message := archive.hosted_size_problem:
        dig.add_error(make_place(dig.folder), "too-large", message)
    elif not is_hosted and (message := archive.server_size_problem):
        dig.add_warning(make_place(dig.folder), "too-large", message)


def has_image(task: Task) -> bool:
    """Whether a task, or a parameter that is exported to it, names a container image."""
    image = task.value.get("docker", "image")
    return bool((image and image.value) or task.get_exported("docker", "image"))


def runs_package(task: Task) -> bool:
    """Whether a task runs a class or function of this package."""
    return task.operator == "py" and task.command is not None and str(task.command.value).startswith(f"{PACKAGE}.")


def _find_referenced_files(dig: DigFile, tasks: list[Task]) -> Iterator[tuple[Value, str]]:
    """Yield each YAML value that names a file of the project, with the name of that file."""
    for task in tasks:
        command = task.command
        if task.operator in ("td", "call") and command and (name := task.fill_text(command)):
            yield command, name if task.operator == "td" or name.endswith(".dig") else f"{name}.dig"
        for key in _SQL if runs_package(task) else ():
            yield from _find_query_files(dig, task, key)
    for path, value in dig.included.items():
        yield value, str(path.relative_to(dig.folder))


def _find_query_files(dig: DigFile, task: Task, key: str) -> Iterator[tuple[Value, str]]:
    """Yield (YAML value, file name) for each SQL file named under `key` in a task or an entry of `audiences`."""
    entries = dig.root.get("_export", "audiences") if dig.root else None
    several = entries.value if entries and isinstance(entries.value, list) else []
    for owner in (task.value, *several):
        if (value := owner.get(key)) is None:
            continue
        if (name := task.fill_text(value)).strip().lower().endswith(".sql"):
            yield value, name


def _explain_omission(folder: Path, name: str, ignored: pathspec.GitIgnoreSpec) -> str:
    """Return why a push would omit the file `name`, and what to do, or "" if the push would include the file."""
    path, parts = folder / name, Path(name).parts
    if Path(name).is_absolute() or ".." in parts:
        return f"{name} is outside the project folder, and a push leaves it out: move it inside"
    if not path.is_file():
        return f"there is no file {name} in the project folder {folder}"
    if any(part.startswith(".") for part in parts):
        return f"{name} has a name that begins with a dot, so a push leaves it out: rename it"
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"{name} is a link to a file outside the project folder, so a push leaves it out: copy the file"
    return f".digdagignore names {name}, so a push leaves it out: change that line" if ignored.match_file(name) else ""


def _find_python(task: Task) -> tuple[Value | None, str]:
    """Return the YAML value that names a task's Python interpreter (None: not set), and its name ("": unknown)."""
    value = task.value.get("python") or task.value.get("py", "python")
    exported = task.exported.get("python") or task.get_exported("py", "python")
    if value is None and exported is None:
        return None, "python"
    try:
        command = task.fill_templates(value) if value else exported
    except UnknownValueError:
        return value, ""
    program = command[0] if isinstance(command, list) and command else command
    return value, program if isinstance(program, str) and _PYTHON.fullmatch(Path(program).name) else ""


@cache
def explain_unusable_python(python: str, folder: Path) -> str:
    """Return why the interpreter `python` cannot run the operator in a folder, and what to do, or "" if it can."""
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
