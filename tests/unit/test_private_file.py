"""Files of secrets: private, whole at any moment, and nothing beside them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from td_pinterest_op import private_file
from tests import children

# Replaces the file for ever, and says when it begins.
_WRITES = """
import pathlib, sys
from td_pinterest_op.private_file import replace
print(flush=True)
while True:
    replace(pathlib.Path(sys.argv[1]), "s3cr3t" * 10000)
"""


def test_a_link_stays_a_link_and_the_file_to_which_it_leads_is_replaced(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    link.symlink_to("file")
    private_file.replace(link, "new")
    assert link.is_symlink()
    assert "new" == file.read_text()
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_a_kill_at_any_moment_leaves_the_whole_file_and_nothing_that_the_next_run_does_not_remove(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cr3t" * 10000)
    for _ in range(3):
        with children.started([sys.executable, "-c", _WRITES, file], stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
        assert "s3cr3t" * 10000 == file.read_text()
    for left in tmp_path.glob(".*"):
        os.utime(left, (0, 0))
    private_file.replace(file, "new")
    assert [file] == list(tmp_path.iterdir())


def test_what_a_kill_left_is_removed_and_what_another_run_is_writing_stays(tmp_path: Path) -> None:
    left, fresh, other = (tmp_path / name for name in (".token-1a2b", ".token-3c4d", ".tokens"))
    for file in (left, fresh, other):
        file.touch()
    os.utime(left, (0, 0))
    os.utime(other, (0, 0))
    private_file.replace(tmp_path / "token", "new")
    assert {fresh, other, tmp_path / "token"} == set(tmp_path.iterdir())


def test_where_the_system_has_no_files_without_a_name_it_is_written_under_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", _no_link)
    private_file.replace(tmp_path / "token", "new")
    assert ["token"] == [file.name for file in tmp_path.iterdir()]
    assert "new" == (tmp_path / "token").read_text()


def test_a_write_that_fails_leaves_the_old_text_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("s3cr3t-old")

    def fails(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="No space left"):
        private_file.replace(file, "s3cr3t-new")
    assert "s3cr3t-old" == file.read_text()
    assert [file] == list(tmp_path.iterdir())


def _no_link(*_: object) -> None:
    raise OSError(18, "Invalid cross-device link")
