"""Whether another user could read or change a file of secrets."""

import os
from pathlib import Path

import pytest

from td_pinterest_op.runtime import private_file
from td_pinterest_op.runtime.private_file import find_exposure


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file, reached by a link in one folder to a file in another."""
    for name in ("links", "files"):
        (tmp_path / name).mkdir(mode=0o755)
    target = tmp_path / "files" / "secrets.env"
    target.touch(0o600)
    link = tmp_path / "links" / "secrets.env"
    link.symlink_to("../files/secrets.env")
    return link


def test_private_file_behind_links_has_no_exposure(file: Path) -> None:
    assert find_exposure(file) == ""


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("files/secrets.env", 0o644, "others can read FOLDER/files/secrets.env: run `chmod 600 "),
        ("files/secrets.env", 0o602, "others can write to FOLDER/files/secrets.env: run `chmod go-w "),
        ("files", 0o757, "others can write to FOLDER/files: run `chmod go-w FOLDER/files` first"),
        ("links", 0o777, "others can write to FOLDER/links: run `chmod go-w FOLDER/links` first"),
        ("links", 0o1777, ""),  # as /tmp
    ],
)
def test_permission_of_others_is_an_exposure(file: Path, tmp_path: Path, name: str, mode: int, expected: str) -> None:
    (tmp_path / name).chmod(mode)
    assert find_exposure(file).replace(str(tmp_path), "FOLDER").startswith(expected)
    assert bool(find_exposure(file)) == bool(expected)


@pytest.mark.parametrize("name", ["links", "links/secrets.env", "files", "files/secrets.env"])
def test_another_owner_is_an_exposure(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    foreign = (tmp_path / name).lstat().st_ino
    monkeypatch.setattr(private_file, "belongs_to_user_or_root", lambda status: status.st_ino != foreign)
    said = f"another user owns {tmp_path / name}: name a file that is yours, in folders of yours"
    assert find_exposure(file).replace("links/../", "") == said


def test_only_the_user_and_root_are_trusted_owners(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = file.stat()
    assert private_file.belongs_to_user_or_root(status)
    monkeypatch.setattr(private_file, "ROOT_USER_ID", status.st_uid + 1)
    monkeypatch.setattr(os, "geteuid", lambda: status.st_uid + 2)
    assert not private_file.belongs_to_user_or_root(status)


@pytest.mark.parametrize(("is_private_group", "expected"), [(True, False), (False, True)])
def test_folder_that_a_group_may_write_to_is_an_exposure_unless_the_user_is_alone_in_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_private_group: bool, expected: bool
) -> None:
    (tmp_path / "files").chmod(0o775)
    monkeypatch.setattr(private_file, "_is_private_group", lambda _: is_private_group)
    assert bool(find_exposure(file)) is expected


def test_private_folder_guards_a_file_that_others_could_read(file: Path, tmp_path: Path) -> None:
    (tmp_path / "files" / "secrets.env").chmod(0o644)
    assert find_exposure(file, is_guarded_by_folder=True).endswith(f"run `chmod 700 {tmp_path / 'files'}` first")
    (tmp_path / "files").chmod(0o700)
    assert find_exposure(file, is_guarded_by_folder=True) == ""


def test_link_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        find_exposure(tmp_path / "link")
