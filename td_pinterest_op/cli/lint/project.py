"""What a push would leave out, and how large the archive would be."""

from __future__ import annotations

import fnmatch
import tarfile
from collections.abc import Iterator
from pathlib import Path

from td_pinterest_op.cli.lint.dig_file import DigFile, Value
from td_pinterest_op.cli.lint.tasks import Task, UnknownError

MOST_BYTES = 10 * 1024 * 1024
PACKAGE = "td_pinterest_op"


def check(dig: DigFile, found: list[Task]) -> None:
    """Note the files that a push would leave out, and an archive that is too large."""
    for value, name in _referenced(dig, found):
        _check_file(dig, value, name)
    _check_package(dig, found)
    if dig.folder.joinpath(PACKAGE).is_dir():
        _check_size(dig)


def _referenced(dig: DigFile, found: list[Task]) -> Iterator[tuple[Value, str]]:
    """Values that name a file of the project, and the name."""
    for task in found:
        command = task.command
        if task.operator not in ("td", "call") or command is None or not isinstance(command.value, str):
            continue
        try:
            name = str(task.filled(command))
        except UnknownError:
            continue
        if task.operator == "call" and not name.endswith(".dig"):
            name += ".dig"
        if name:
            yield command, name
    for path in dig.texts:
        if path != dig.path:
            yield Value(value=None, path=dig.path, line=_line_of(dig, path)), str(path.relative_to(dig.folder))


def _line_of(dig: DigFile, included: Path) -> int:
    name = included.name
    lines = dig.texts[dig.path].splitlines()
    return next((number for number, line in enumerate(lines, 1) if "!include" in line and name in line), 1)


def _check_file(dig: DigFile, value: Value, name: str) -> None:
    path = dig.folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        dig.find(value, "left-out", f"{name} is outside the project folder, and a push leaves it out: move it inside")
    elif not path.is_file():
        dig.find(value, "left-out", f"there is no file {name} in the project folder {dig.folder}")
    elif any(part.startswith(".") for part in Path(name).parts):
        dig.find(value, "left-out", f"a push leaves out what begins with a dot, and so {name}: rename it")
    elif not path.resolve().is_relative_to(dig.folder.resolve()):
        message = f"{name} is a link that leaves the project folder, and a push leaves it out: copy the file"
        dig.find(value, "left-out", message)
    elif _is_ignored(dig.folder, name):
        dig.find(value, "left-out", f".digdagignore names {name}, and so a push leaves it out")


def _is_ignored(folder: Path, name: str) -> bool:
    ignore = folder / ".digdagignore"
    patterns = ignore.read_text(errors="replace").split() if ignore.is_file() else []
    parts = [name, *map(str, Path(name).parents), *Path(name).parts]
    return any(fnmatch.fnmatch(part, pattern.strip("/")) for pattern in patterns for part in parts)


def _check_package(dig: DigFile, found: list[Task]) -> None:
    uses = next((task for task in found if task.operator == "py" and _names_package(task)), None)
    in_checkout = (dig.folder.parent / "scripts" / "bundle").is_file()  # which lays the package beside the workflows
    if uses and not in_checkout and not (dig.folder / PACKAGE).is_dir():
        message = (
            f"the folder {PACKAGE} is not beside the workflow: scripts/bundle lays it out; without it a task finds no "
            "operator unless its Python has it installed"
        )
        dig.find(uses.command or uses.value, "left-out", message, error=False)


def _names_package(task: Task) -> bool:
    return task.command is not None and str(task.command.value).startswith(f"{PACKAGE}.")


def _check_size(dig: DigFile) -> None:
    size = _archive_size(dig.folder)
    if size > MOST_BYTES:
        message = (
            f"the archive of {dig.folder} has {size / 1024 / 1024:.1f} MB, and hosted Treasure Workflow takes 10 MB: "
            "move data and tests out of the folder, or name them in .digdagignore"
        )
        dig.find(1, "too-large", message)


class _Counter:
    """A file that counts what is written to it."""

    size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return len(data)


def _archive_size(folder: Path) -> int:
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not _is_ignored(folder, str(path.relative_to(folder)))
    ]
    if sum(path.stat().st_size for path in files) <= MOST_BYTES:
        return 0  # no need to compress
    counter = _Counter()
    with tarfile.open(fileobj=counter, mode="w|gz") as archive:  # type: ignore[call-overload]
        for path in files:
            archive.add(path, arcname=str(path.relative_to(folder)))
    return counter.size
