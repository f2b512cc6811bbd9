"""What a push would leave out, and how large the archive would be."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pathspec

from td_pinterest_op.cli.lint.dig_file import DigFile, Task, Value, place

# Source: the limits of hosted Treasure Workflow (packed) and of a digdag server (unpacked), digdag's
# `api.max_archive_total_size_limit`.
MOST_BYTES, MOST_BYTES_OF_A_SERVER = 10 * 1024 * 1024, 2 * 1024 * 1024
PACKAGE = "td_pinterest_op"


def check(dig: DigFile, every: list[Task]) -> None:
    """Note the files that a push would leave out, and an archive that is too large."""
    ignored = _ignored(dig.folder)
    for value, name in _referenced(dig, every):
        if message := _left_out(dig.folder, name, ignored):
            dig.find(value, "left-out", message)
    package, uses = dig.folder / PACKAGE, next(filter(names_package, every), None)
    in_checkout = (dig.folder.parent / "scripts" / "bundle").is_file()  # which lays the package beside the workflows
    if uses and not in_checkout and not package.is_dir():
        message = (
            f"the folder {PACKAGE} is not beside the workflow: scripts/bundle lays it out; without it a task finds no "
            "operator unless its Python has it installed"
        )
        dig.find(uses.command or uses.value, "left-out", message, error=False)
    if package.is_dir() and (message := _too_large(dig.folder, ignored, is_hosted=_is_hosted(every))):
        dig.find(place(dig.path), "too-large", message)


def _is_hosted(every: list[Task]) -> bool:
    """Whether a task has an image, which only hosted Treasure Workflow needs."""
    return any(task.value.get("docker") or "docker" in task.exported for task in every)


def _too_large(folder: Path, ignored: pathspec.GitIgnoreSpec, *, is_hosted: bool) -> str:
    """Why a push would be refused for its size; "" if it would not."""
    files = _archived(folder, ignored)
    unpacked = sum(path.stat().st_size for path in files)
    cure = "move data and tests out of the folder, or name them in .digdagignore"
    if unpacked > MOST_BYTES and (packed := _packed_size(folder, files)) > MOST_BYTES:
        return f"the archive of {folder} has {_megabytes(packed)}, and hosted Treasure Workflow takes 10 MB: {cure}"
    if unpacked > MOST_BYTES_OF_A_SERVER and not is_hosted:
        return (
            f"the files of {folder} have {_megabytes(unpacked)} together, and a digdag server takes 2 MiB unless its "
            f"api.max_archive_total_size_limit says otherwise: {cure}"
        )
    return ""


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"


def names_package(task: Task) -> bool:
    """Whether a task names something of this package."""
    return task.operator == "py" and task.command is not None and str(task.command.value).startswith(f"{PACKAGE}.")


def _ignored(folder: Path) -> pathspec.GitIgnoreSpec:
    """What `.digdagignore` names, which digdag reads as git does its own."""
    file = folder / ".digdagignore"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _referenced(dig: DigFile, every: list[Task]) -> Iterator[tuple[Value, str]]:
    """Values that name a file of the project, and the name."""
    for task in every:
        command = task.command
        if task.operator in ("td", "call") and command and (name := task.text(command)):
            yield command, name if task.operator == "td" or name.endswith(".dig") else f"{name}.dig"
        for key in ("suppress", "consent", "query") if names_package(task) else ():
            yield from _queries(dig, task, key)
    for path, value in dig.included.items():
        yield value, str(path.relative_to(dig.folder))


def _queries(dig: DigFile, task: Task, key: str) -> Iterator[tuple[Value, str]]:
    """Files of SQL that a task or an entry of several audiences names. Notes a list of people that is blank."""
    entries = dig.root.get("_export", "audiences") if dig.root else None
    several = entries.value if entries and isinstance(entries.value, list) else []
    for owner in (task.value, *several):
        if (value := owner.get(key)) is None:
            continue
        if key != "query" and not str(value.value or "").strip():
            dig.find(value, "source", f"{key} is blank: give SQL or a file ….sql, or take the line out")
        elif (name := task.text(value)).strip().lower().endswith(".sql"):
            yield value, name


def _left_out(folder: Path, name: str, ignored: pathspec.GitIgnoreSpec) -> str:
    """Why a push leaves the file out, and what to do; "" if it does not."""
    path, parts = folder / name, Path(name).parts
    if Path(name).is_absolute() or ".." in parts:
        return f"{name} is outside the project folder, and a push leaves it out: move it inside"
    if not path.is_file():
        return f"there is no file {name} in the project folder {folder}"
    if any(part.startswith(".") for part in parts):
        return f"a push leaves out what begins with a dot, and so {name}: rename it"
    if not path.resolve().is_relative_to(folder.resolve()):
        return f"{name} is a link that leaves the project folder, and a push leaves it out: copy the file"
    return f".digdagignore names {name}, and so a push leaves it out" if ignored.match_file(name) else ""


def _archived(folder: Path, ignored: pathspec.GitIgnoreSpec) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not ignored.match_file(path.relative_to(folder))
    ]


def _packed_size(folder: Path, files: list[Path]) -> int:
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for path in files:
                archive.add(path, arcname=str(path.relative_to(folder)))
        return file.tell()
