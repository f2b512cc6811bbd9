"""The shipped workflows with their files, and the operator's code, as they are written to a project folder."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from td_pinterest_op.cli.bundled_code import SHIPPED, USERS_FILES, collect_code, write_code
from td_pinterest_op.cli.files import explain_error, replace_files
from td_pinterest_op.errors import SettingsError, StoppedError

WORKFLOWS = SHIPPED / "workflows"
_PATH = re.compile(r"[\w./-]+")
COMMENT = re.compile(r"^[ \t]*(?:#|--).*$", re.MULTILINE)
_LINK_TO_CHECKOUT = re.compile(r"\[([^\[\]]*)\]\(\.\./[^()]*\)")


def update_code(folder: Path, *, with_dependencies: bool = False, with_phone_numbers: bool = False) -> None:
    """Write the operator and its libraries to a project folder, which keeps the libraries that it has."""
    with explain_failures(folder):
        code = collect_code(
            with_dependencies=with_dependencies or (folder / "requests" / "__init__.py").is_file(),
            with_phone_numbers=with_phone_numbers or (folder / "phonenumbers" / "__init__.py").is_file(),
        )
        write_code(folder, code)


@contextlib.contextmanager
def explain_failures(folder: Path) -> Iterator[None]:
    """Within the block, let the errors of writing to a project folder say what is there."""
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written ({explain_error(error)}): name another folder") from None
    except StoppedError as error:
        raise error.extend(f": {folder} may lack files, which the same command writes") from None


def write_missing_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write those `files` that a project folder lacks. Return the names of those that exist, which are not changed.

    `files`: texts, by path in the folder.
    """
    kept = [name for name in files if os.path.lexists(folder / name)]
    replace_files(folder, {name: text.encode() for name, text in files.items() if name not in kept})
    return kept


def read_workflow_files(workflows: Sequence[str] = ()) -> Mapping[str, str]:
    """Return the texts of the named workflows and of the files that they need, by path in a project folder.

    If none is named, return all workflows, queries and configuration. Raises click.UsageError for an unknown name.
    """
    files = {}
    for path in sorted(WORKFLOWS.rglob("*")):
        if path.suffix in USERS_FILES:
            text = path.read_text(encoding="utf-8")
            # Links lead to files that a project folder does not have.
            files[path.relative_to(WORKFLOWS).as_posix()] = _LINK_TO_CHECKOUT.sub(r"\1", text)
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
            names += [path.rstrip(".") for path in _PATH.findall(files[name])]
    return {name: files[name] for name in sorted(needed)}
