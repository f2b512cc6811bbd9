"""The shipped workflows with their files, and the operator's code, as a project folder has them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from td_pinterest_op.cli.bundled_code import SHIPPED_FILES_FOLDER, collect_code, replace_code
from td_pinterest_op.cli.files import replace_files

SHIPPED_WORKFLOWS_FOLDER = SHIPPED_FILES_FOLDER / "workflows"
_NAMED_FILE_PATTERN = re.compile(r"[\w./-]+")
_CHECKOUT_LINK_PATTERN = re.compile(r"\[([^\[\]]*)\]\(\.\./[^()]*\)")


def update_code(folder: Path, *, with_dependencies: bool = False, with_phone_numbers: bool = False) -> None:
    """Write the operator and its libraries to a project folder, with all libraries that it had."""
    code = collect_code(
        with_dependencies=with_dependencies or (folder / "requests" / "__init__.py").is_file(),
        with_phone_numbers=with_phone_numbers or (folder / "phonenumbers" / "__init__.py").is_file(),
    )
    replace_code(folder, code)


def write_missing_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write those `files` (texts by path) that a project folder lacks, and return their names."""
    missing = [name for name in files if not os.path.lexists(folder / name)]
    replace_files(folder, {name: files[name].encode() for name in missing})
    return missing


def read_workflow_files(workflows: Sequence[str] = ()) -> Mapping[str, str]:
    """Return the texts of workflows and of the files that they need, by path in a project folder.

    If none is named, return all. Raises click.UsageError for an unknown name.
    """
    files = {}
    for path in sorted(SHIPPED_WORKFLOWS_FOLDER.rglob("*")):
        if path.suffix in (".dig", ".yml", ".sql", ".md"):
            text = path.read_text(encoding="utf-8")
            # Links lead to files that a project folder does not have.
            files[path.relative_to(SHIPPED_WORKFLOWS_FOLDER).as_posix()] = _CHECKOUT_LINK_PATTERN.sub(r"\1", text)
    names = [f"{Path(name).name.removesuffix('.dig')}.dig" for name in workflows]
    for name in names:
        if name not in files:
            known = ", ".join(each for each in files if each.endswith(".dig"))
            raise click.UsageError(f"there is no workflow {name}: there are {known}")
    if not names:
        return files
    # Comments name files as well: a query of one is needed once the comment sign is removed.
    needed = set()
    while names:
        name = names.pop()
        if name in files and name not in needed:
            needed.add(name)
            names += [path.rstrip(".") for path in _NAMED_FILE_PATTERN.findall(files[name])]
    return {name: files[name] for name in sorted(needed)}
