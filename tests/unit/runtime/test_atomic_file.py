"""Files that are whole at any moment, with nothing besides them; those of secrets are private."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from td_pinterest_op.runtime import atomic_file
from tests import children

# Replaces the file for ever, and says when it begins.
_WRITES = """
import pathlib, sys
from td_pinterest_op.runtime.atomic_file import replace_file
print(flush=True)
while True:
    replace_file(pathlib.Path(sys.argv[1]), "s3cr3t" * 10000)
"""


def test_a_link_stays_a_link_and_the_file_to_which_it_leads_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "file"
    link = tmp_path / "link"
    file.write_text("old")
    link.symlink_to("file")
    atomic_file.replace_file(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_that_another_user_made_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("file")
    monkeypatch.setattr(atomic_file, "belongs_to_user_or_root", lambda _: False)
    with pytest.raises(PermissionError, match="a link that another user made"):
        atomic_file.replace_file(tmp_path / "link", "s3cr3t")
    assert not (tmp_path / "file").exists()


def test_a_kill_at_any_moment_leaves_the_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cr3t" * 10000)
    for _ in range(3):
        with children.run_in_background([sys.executable, "-c", _WRITES, file], stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
        assert file.read_text() == "s3cr3t" * 10000


def test_result_is_written_to_a_pipe_without_a_name() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "wb"), os.fdopen(read, "rb") as pipe:
        atomic_file.write_result(Path(f"/dev/fd/{write}"), "the page")
        assert os.read(pipe.fileno(), 100) == b"the page"


def test_result_for_a_pipe_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device or address") as failure:
        atomic_file.write_result(pipe, "the page")
    assert failure.value.filename == str(pipe)


def test_named_pipe_in_place_of_a_secret_is_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "token"
    os.mkfifo(pipe)
    atomic_file.replace_file(pipe, "s3cr3t")
    assert pipe.is_file()
    assert pipe.read_text() == "s3cr3t"


def test_device_is_not_replaced() -> None:
    with pytest.raises(OSError, match="it is a device, which keeps nothing"):
        atomic_file.replace_file(Path("/dev/null"), "s3cr3t")


def test_link_to_itself_is_an_error(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        atomic_file.write_result(link, "the page")
    assert list(tmp_path.iterdir()) == [link]


def test_lone_surrogate_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    with pytest.raises(UnicodeEncodeError):
        atomic_file.replace_file(file, "a\ud800")
