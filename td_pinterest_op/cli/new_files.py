"""Files that a command adds to a folder: all of them, or none, and never in place of another.

A new folder is laid out beside its place and renamed. In a folder that exists, the files are laid out in a hidden
folder with a list of their digests, then linked to their places, which fails where there is a file, the last one last.
Whatever ends the command, the next call removes what it wrote before, unless it was finished, or somebody changed it.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from td_pinterest_op.cli.files import require_path_inside

# digdag leaves out what begins with a dot.
_STAGE_NAME = ".unfinished_init"
_DIGESTS_NAME = "digests.json"


def write_new_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files, by path in a folder, which is made if it is missing. `contents`: the last one completes the others.

    Raises FileExistsError for a path that is taken, another OSError if the folder cannot be written, and SettingsError
    for a path that leads out of it. Then nothing is written.
    """
    if not os.path.lexists(folder):
        _make_folder(folder, contents)
        return
    remove_unfinished_files(folder)
    for name in contents:
        require_path_inside(folder, name)
    stage = folder / _STAGE_NAME
    try:
        _write_files(stage, contents)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        # Written whole: without it, nothing is in its place.
        (stage / "digests.new").write_text(json.dumps(digests))
        (stage / "digests.new").rename(stage / _DIGESTS_NAME)
        for name in contents:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(stage / name, folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_unfinished_files(folder)
        raise
    shutil.rmtree(stage, ignore_errors=True)


def remove_unfinished_files(folder: Path) -> None:
    """Remove what an interrupted call of `write_new_files` left in a folder. Raises OSError."""
    stage = folder / _STAGE_NAME
    if not os.path.lexists(stage):
        return
    digests: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        digests = json.loads((stage / _DIGESTS_NAME).read_text())
    names = [name for name in digests if os.path.lexists(folder / name)]
    if len(names) < len(digests):
        for name in names:
            path = folder / name
            if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digests[name]:
                path.unlink()
        for name in names:
            with contextlib.suppress(OSError):  # not empty
                if (folder / name).parent != folder:
                    (folder / name).parent.rmdir()
    shutil.rmtree(stage)


def _make_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    beside = folder.with_name(f".{folder.name}{_STAGE_NAME}")
    shutil.rmtree(beside, ignore_errors=True)
    with _removing_on_failure(beside):
        _write_files(beside, contents)
        beside.rename(folder)


@contextlib.contextmanager
def _removing_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
