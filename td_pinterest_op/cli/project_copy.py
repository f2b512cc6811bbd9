"""The copy of a project folder that a server gets: the user's files, the operator, and the libraries that it needs.

The folder itself is only read.
"""

import os
import shlex
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

from td_pinterest_op.cli import screen
from td_pinterest_op.cli.bundled_code import collect_code
from td_pinterest_op.cli.connection import find_credentials
from td_pinterest_op.cli.lint.workflow_check import BUILT_IN_CONNECTOR_CODE, CheckedWorkflow, check_workflow
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.plain_credentials import build_known_values, find_plain_credential
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import escape_for_message
from td_pinterest_op.requirements import REQUIRED_MODULES

# In bytes: api.max_archive_total_size_limit of a digdag server that sets none.
_SERVER_LIMIT = 2_097_152


def write_project_copy(
    folder: Path,
    copy: Path,
    common: CommonOptions,
    *,
    with_dependencies: bool = False,
    with_phone_numbers: bool = False,
) -> list[CheckedWorkflow]:
    """Write a project folder's files, the operator and its libraries to the empty folder `copy`.

    First prints what is left out, what is wrong with a file, and what is wrong with the workflows, and then raises
    SettingsError if something is. Returns the checked workflows.
    """
    workflows = sorted(folder.glob("*.dig"))
    if not workflows:
        raise SettingsError(
            f"{folder} has no workflow: make a project folder with `td-pinterest init {shlex.quote(str(folder))}`"
        )
    code = collect_code(with_dependencies=with_dependencies, with_phone_numbers=with_phone_numbers)
    copier = _Copier(folder, copy, code_names={name.partition("/")[0] for name in code})
    copier.copy_folder(folder)
    known_values = build_known_values(find_credentials(common.env_file).secrets)
    for name in copier.sizes:
        if found := find_plain_credential(copy / name, known_values):
            copier.problems[name] = f"{found}, which everybody who can read the project would see"
    if copier.left_out:
        common.print_note(f"Left out: {', '.join(map(escape_for_message, copier.left_out))}")
    for name, text in copier.notes.items():
        common.print_note(f"{folder}/{escape_for_message(name)}: {text}")
    for name, text in copier.problems.items():
        screen.print_note(f"{folder}/{escape_for_message(name)}: {text}")
    checked = [check_workflow(workflow) for workflow in workflows]
    findings = dict.fromkeys(finding for workflow in checked for finding in workflow.findings)
    for finding in findings:
        screen.print_note(str(finding))
    # The built-in connector may run beside this operator for a day.
    has_error = any(finding.level == "error" and finding.code != BUILT_IN_CONNECTOR_CODE for finding in findings)
    if copier.problems or has_error:
        raise SettingsError(f"{folder} has errors, which are named above: correct them first")
    for name, content in code.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    size = sum(copier.sizes.values()) + sum(map(len, code.values()))
    if size > _SERVER_LIMIT and copier.sizes:
        largest = max(copier.sizes, key=copier.sizes.__getitem__)
        common.print_note(
            f"The project has {size / 1e6:,.1f} MB, and its largest file, {escape_for_message(largest)}, "
            f"{copier.sizes[largest] / 1e6:,.1f} MB: hosted Treasure Workflow takes 10 MB, and a digdag server "
            "2 MiB, unless it is set to another limit"
        )
    return checked


class _Copier:
    """Copies the files of a folder. What it says of them is by path in the folder."""

    def __init__(self, folder: Path, copy: Path, *, code_names: Collection[str]) -> None:
        self._folder = folder
        self._copy = copy
        self._code_names = code_names
        self.left_out: list[str] = []
        self.notes: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self.sizes: dict[str, int] = {}  # of the files that were copied, in bytes

    def copy_folder(self, folder: Path) -> None:
        """Copy the folder, or one in it. A file that cannot be copied becomes a problem."""
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            self.problems[self._get_name(folder)] = f"it cannot be read: {error.strerror}"
            return
        for path in paths:
            name = self._get_name(path)
            if folder == self._folder and self._is_taken(path):
                continue
            if _is_left_out(path):
                self.left_out.append(name)
            elif path.is_symlink():
                self._copy_link(path)
            elif path.is_dir():
                self.copy_folder(path)
            else:
                self._copy_file(path)

    def _get_name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _is_taken(self, path: Path) -> bool:
        module = path.name.removesuffix(".py")
        if module in self._code_names:
            self.problems[path.name] = "this name is that of the operator or of a library, which are added: rename it"
            return True
        if module in REQUIRED_MODULES:
            self.notes[path.name] = "copied; the operator would use it on a server without the library of this name"
        return False

    def _copy_link(self, path: Path) -> None:
        name = self._get_name(path)
        root = self._folder.resolve()
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle
            self.problems[name] = "this link leads nowhere: remove it"
            return
        if not target.is_relative_to(root):
            self.problems[name] = "this link leads out of the folder: replace it by a copy"
            return
        if any(_is_left_out(each) for each in (target, *target.parents) if root in each.parents):
            self.problems[name] = "this link leads to a file that is left out: remove it"
            return
        copied = self._copy / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.symlink_to(os.path.relpath(target, path.parent.resolve()))

    def _copy_file(self, path: Path) -> None:
        name = self._get_name(path)
        copied = self._copy / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for its writer
                self.problems[name] = "it is not a regular file: remove it"
                return
            source = path.open("rb")
        except OSError as error:
            self.problems[name] = f"it cannot be read: {error.strerror}"
            return
        with source, copied.open("wb") as target:
            shutil.copyfileobj(source, target)
        shutil.copymode(path, copied)
        self.sizes[name] = copied.stat().st_size


def _is_left_out(path: Path) -> bool:
    """Whether no server gets a file or folder: digdag leaves out what begins with a dot."""
    # Path.is_file would raise PermissionError for a folder that cannot be read.
    return path.name.startswith(".") or path.name == "__pycache__" or os.path.isfile(path / "pyvenv.cfg")  # noqa: PTH113
