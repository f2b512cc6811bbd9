"""New files are all there or none, whatever ends the command, and none takes the place of another."""

import os
import sys
from pathlib import Path

import pytest

from td_pinterest_op.cli.new_files import write_new_files
from td_pinterest_op.errors import SettingsError
from tests import children

CONTENTS = {"config/a.yml": b"a: 1\n", "queries/b.sql": b"SELECT 1\n", "config/c.yml": b"c: 3\n", "x.dig": b"+x:\n"}
# Forks for each file operation, and ends the child at it as SIGKILL would. Prints how many operations there were.
_KILL_AT_EACH_OPERATION = """
import os, shutil, sys
from pathlib import Path
from td_pinterest_op.cli.new_files import write_new_files
from tests.unit.cli.test_new_files import CONTENTS, list_files

base, exists = Path(sys.argv[1]), sys.argv[2] == "True"
EVENTS = {"open", "os.mkdir", "os.link", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
number = 0
while True:
    folder = base / str(number)
    if exists:
        (folder / "config").mkdir(parents=True)
        (folder / "config" / "mine.yml").write_text("mine")
    child = os.fork()
    if child == 0:
        seen = 0
        def end(event, _):
            global seen
            if event in EVENTS:
                seen += 1
                if seen > number:
                    os._exit(9)
        sys.addaudithook(end)
        write_new_files(folder, CONTENTS)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    mine = {"config/mine.yml": b"mine"} if exists else {}
    found = list_files(folder)
    whole = {**mine, **CONTENTS}
    assert ("x.dig" not in found) or found == whole, found
    assert exists or found in ({}, whole), found
    if found != whole:
        write_new_files(folder, CONTENTS)
        assert list_files(folder) == whole
    else:
        write_new_files(folder, {"y.dig": b"+y:"})
        assert list_files(folder) == {**whole, "y.dig": b"+y:"}
    assert not list(folder.glob(".*")), list(folder.glob(".*"))
    if status == 0:
        break
    number += 1
print(number)
"""


def list_files(folder: Path) -> dict[str, bytes]:
    """Return the contents of a folder's files, by path, without what is hidden."""
    paths = [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
    named = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return {name: content for name, content in sorted(named.items()) if not name.startswith(".")}


@pytest.mark.parametrize("exists", [False, True])
def test_kill_at_each_file_operation_leaves_all_or_no_workflow_and_a_second_try_works(
    tmp_path: Path, exists: bool
) -> None:
    command: list[str | Path] = [sys.executable, "-c", _KILL_AT_EACH_OPERATION, str(tmp_path), str(exists)]
    ran = children.run(command, env={**os.environ, "PYTHONPATH": "."})
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 10


def test_interrupt_removes_what_was_written_and_the_second_try_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link
    links = []

    def stop_at_third(*paths: Path) -> None:
        links.append(paths)
        if len(links) == 3:
            raise KeyboardInterrupt
        link(*paths)

    with monkeypatch.context() as patch:
        patch.setattr("os.link", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            write_new_files(tmp_path, CONTENTS)
    assert list(tmp_path.iterdir()) == []
    write_new_files(tmp_path, CONTENTS)
    assert list_files(tmp_path) == dict(sorted(CONTENTS.items()))


def test_file_that_is_there_is_kept_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "b.sql").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        write_new_files(tmp_path, CONTENTS)
    assert [path.name for path in tmp_path.rglob("*")] == ["queries", "b.sql"]


def kill_at_third_link(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write CONTENTS to a folder, and leave it as a killed process would: with two of the four files in place."""
    link = os.link
    links = []

    def stop_at_third(*paths: Path) -> None:
        links.append(paths)
        if len(links) == 3:
            raise KeyboardInterrupt
        link(*paths)

    with monkeypatch.context() as patch:
        patch.setattr("os.link", stop_at_third)
        patch.setattr("td_pinterest_op.cli.new_files.remove_unfinished_files", lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            write_new_files(folder, CONTENTS)
    assert list(list_files(folder)) == ["config/a.yml", "queries/b.sql"]


def test_file_that_was_changed_after_an_interruption_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_at_third_link(tmp_path, monkeypatch)
    (tmp_path / "config" / "a.yml").write_text("edited")
    os.utime(tmp_path / "config" / "a.yml", ns=(2**62, 2**62))
    write_new_files(tmp_path, {"c.yml": b"c"})
    assert list_files(tmp_path) == {"c.yml": b"c", "config/a.yml": b"edited"}


def test_finished_files_are_kept_although_one_was_removed_since(tmp_path: Path) -> None:
    write_new_files(tmp_path, CONTENTS)
    stage = tmp_path / ".unfinished_init"
    for name in CONTENTS:
        place = stage / ("last" if name == "x.dig" else "first") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(tmp_path / name, place)
    (tmp_path / "queries" / "b.sql").unlink()
    write_new_files(tmp_path, {"y.dig": b"y"})
    assert list(list_files(tmp_path)) == ["config/a.yml", "config/c.yml", "x.dig", "y.dig"]


@pytest.mark.parametrize("first", ["..", "../../outside", "made"])
def test_hidden_folder_that_somebody_else_made_removes_no_file(tmp_path: Path, first: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.yml").write_text("theirs")
    folder = tmp_path / "folder"
    (folder / ".unfinished_init" / "last").mkdir(parents=True)
    (folder / ".unfinished_init" / "last" / "z.dig").write_text("never placed")
    (folder / "a.yml").write_text("mine")
    if first == "made":
        (folder / ".unfinished_init" / "first").mkdir()
        (folder / ".unfinished_init" / "first" / "a.yml").write_text("mine")
    else:
        (folder / ".unfinished_init" / "first").symlink_to(first)
    write_new_files(folder, {"y.dig": b"y"})
    assert list_files(tmp_path) == {"folder/a.yml": b"mine", "folder/y.dig": b"y", "outside/a.yml": b"theirs"}
    assert not (folder / ".unfinished_init").exists()


def test_name_of_the_hidden_folder_that_is_taken_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".unfinished_init").symlink_to("nowhere")
    with pytest.raises(SettingsError, match="is no folder, and `init` needs this name: remove it"):
        write_new_files(tmp_path, CONTENTS)


def test_path_through_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "config").symlink_to(tmp_path)
    with pytest.raises(SettingsError, match="leads out of"):
        write_new_files(folder, CONTENTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]
