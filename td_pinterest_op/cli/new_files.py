"""Files that a command adds to a folder: all of them, or none, and never in place of another.

A new folder is laid out beside its place and renamed. In a folder that exists, the files are laid out in a hidden
folder, then linked to their places, which fails where there is a file, the last one last. Whatever ends the command,
the next call removes what it wrote before, unless the last file is in its place.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from td_pinterest_op.cli.files import require_path_inside
from td_pinterest_op.errors import SettingsError

# digdag leaves out what begins with a dot.
_STAGE_NAME = ".unfinished_init"


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
    *others, last = contents
    try:
        _write_files(stage / "first", {name: contents[name] for name in others})
        _write_files(stage / "last", {last: contents[last]})
        for name in contents:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(stage / ("last" if name == last else "first") / name, folder / name)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_unfinished_files(folder)
        raise
    _remove_stage(stage)


def remove_unfinished_files(folder: Path) -> None:
    """Remove what an interrupted call of `write_new_files` left in a folder. Files that were changed since are kept.

    Raises OSError, and SettingsError if something else has the name of the hidden folder.
    """
    stage = folder / _STAGE_NAME
    if not os.path.lexists(stage):
        return
    if stage.is_symlink() or not stage.is_dir():
        raise SettingsError(f"{stage} is no folder, and `init` needs this name: remove it")
    for last in _list_files(stage / "last"):
        if not _is_linked(last, folder / last.relative_to(stage / "last")):
            for path in _list_files(stage / "first"):
                _remove_unchanged(path, folder, path.relative_to(stage / "first"), written_at=last.stat().st_mtime_ns)
    _remove_stage(stage)


def _remove_unchanged(path: Path, folder: Path, name: Path, *, written_at: int) -> None:
    placed = folder / name
    if _is_linked(path, placed) and placed.stat().st_mtime_ns <= written_at:
        placed.unlink()
        if placed.parent != folder:
            with contextlib.suppress(OSError):  # not empty
                placed.parent.rmdir()


def _is_linked(path: Path, placed: Path) -> bool:
    """Whether both names are links to one file, and not one name that is reached through a linked folder."""
    return os.path.lexists(placed) and os.path.samestat(path.lstat(), placed.lstat()) and path.lstat().st_nlink > 1


def _list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _remove_stage(stage: Path) -> None:
    # Without the last file in it, nothing is taken for unfinished.
    for name in ("last", "first"):
        shutil.rmtree(stage / name, ignore_errors=True)
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
