"""Resolve and read files that a workflow, an entry or settings name, which must be in the project's folder."""

from pathlib import Path

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import mask_and_escape

_LARGEST_FILE = 1_000_000  # bytes


def resolve_project_path(name: str, *, key: str) -> Path:
    """Return the absolute path, links followed, of the file `name` in the project's folder. It need not exist.

    `key`: the setting or parameter that names it, for messages. Raises SettingsError for a path that is absolute, has
    `..`, or leads out of the folder by a link: who writes settings or an entry must not choose among the files of the
    machine.
    """
    folder = Path.cwd().resolve()
    path = Path(name)
    problem = "is outside the project, by `..`, by a link or as an absolute path"
    try:
        resolved = (folder / path).resolve()
        if not path.is_absolute() and ".." not in path.parts and resolved.is_relative_to(folder):
            return resolved
    except (OSError, ValueError, RuntimeError):  # links in a circle, or a null character
        problem = "is no path of a file"
    raise SettingsError(
        f"{key}: {mask_and_escape(name)} {problem}: name a file inside the project's folder", key=key, code="value"
    )


def read_project_file(name: str, *, key: str) -> str:
    """Return the text (UTF-8) of the file `name` in the project's folder, without a byte order mark.

    Line ends stay as they are. Raises SettingsError as `resolve_project_path` does, and for what is no regular file, is
    larger than 1 MB, or cannot be read. No message shows anything of the file.
    """
    path = resolve_project_path(name, key=key)
    shown = mask_and_escape(name)
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for its writer
            problem = f"{shown} is not a regular file: name one"
        else:
            with path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
            if len(content) <= _LARGEST_FILE:
                return content.decode("utf-8-sig")
            problem = f"{shown} is larger than 1 MB: make it smaller, or name another"
    except FileNotFoundError:
        problem = f"there is no file {shown} in {mask_and_escape(str(Path.cwd()), longest=200)}: correct its name"
    except (OSError, ValueError) as error:  # ValueError: a null character in the name, or bytes that are not UTF-8
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problem = f"{shown} cannot be read ({why}): correct its name, or the file"
    raise SettingsError(f"{key}: {problem}", key=key, code="value")
