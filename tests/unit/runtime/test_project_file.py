"""A file that settings name is read only if it is a regular file inside the project's folder."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.runtime.project_file import read_project_file, resolve_project_path

SECRET = "outside but readable"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project's folder with a file beside it, and work in the folder."""
    (tmp_path / "outside.sql").write_text(SECRET)
    folder = tmp_path / "project"
    (folder / "queries").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def link(target: str, name: str = "link.sql") -> str:
    Path(name).symlink_to(target)
    return name


def write(content: bytes) -> str:
    Path("written.sql").write_bytes(content)
    return "written.sql"


def make_pipe() -> str:
    os.mkfifo("pipe.sql")
    return "pipe.sql"


def make_socket() -> str:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.sql")
    return "socket.sql"


OUTSIDE = "is outside the project"
REFUSED: dict[str, tuple[Callable[[], str], str]] = {
    "parent": (lambda: "../outside.sql", OUTSIDE),
    "parent in the middle": (lambda: "queries/../../outside.sql", OUTSIDE),
    "parent that stays inside": (lambda: "queries/../people.sql", OUTSIDE),
    "absolute": (lambda: str(Path("../outside.sql").resolve()), OUTSIDE),
    "absolute with two slashes": (lambda: "//etc/passwd.sql", OUTSIDE),
    "device": (lambda: "/dev/zero", OUTSIDE),
    "link to a file outside": (lambda: link("../outside.sql"), OUTSIDE),
    "link to a folder outside": (lambda: link("..", "up") + "/outside.sql", OUTSIDE),
    "link to an absolute path": (lambda: link("/dev/zero"), OUTSIDE),
    "link to a link": (lambda: link(link("../outside.sql", "first.sql")), OUTSIDE),
    "link that leads out and has no target": (lambda: link("../nowhere.sql"), OUTSIDE),
    "link to the process's folder": (lambda: link("/proc/self/root/etc", "etc") + "/passwd", OUTSIDE),
    "link to itself": (lambda: link("link.sql"), "link.sql"),
    "null character": (lambda: "a\0.sql", "a\\x00.sql"),
    "name that is too long": (lambda: "long " * 1000 + ".sql", "File name too long"),
    "pipe": (make_pipe, "is not a regular file"),
    "link to a pipe": (lambda: link(make_pipe()), "is not a regular file"),
    "folder": (lambda: "queries", "is not a regular file"),
    "socket": (make_socket, "is not a regular file"),
    "more than 1 MB": (lambda: write(b"a" * 1_000_001), "is larger than 1 MB"),
    "other encoding": (lambda: write(b"caf\xe9"), "cannot be read (it is not UTF-8 text)"),
    "file that is missing": (lambda: "queries/none.sql", "there is no file queries/none.sql in /"),
    "file as a folder": (lambda: write(b"a") + "/people.sql", "cannot be read (Not a directory)"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_file_that_is_outside_or_not_regular_is_an_error_that_names_the_setting(form: str) -> None:
    build_name, message = REFUSED[form]
    name = build_name()
    with pytest.raises(SettingsError, match="^suppress: .*" + re.escape(message)) as caught:
        read_project_file(name, key="suppress")
    assert SECRET not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert caught.value.problems[0].key == "suppress"


@pytest.mark.parametrize("make_name", [lambda: "queries/people.sql", lambda: link("queries") + "/people.sql"])
def test_file_inside_is_read_with_its_line_ends_and_without_a_byte_order_mark(make_name: Callable[[], str]) -> None:
    Path("queries/people.sql").write_bytes("\ufeffSELECT email\r\nFROM people".encode())
    assert read_project_file(make_name(), key="query") == "SELECT email\r\nFROM people"


def test_file_of_just_1_mb_is_read() -> None:
    assert len(read_project_file(write(b"a" * 1_000_000), key="query")) == 1_000_000


def test_path_of_a_file_that_does_not_exist_yet_is_resolved(project: Path) -> None:
    link("queries", "pages")
    assert resolve_project_path("pages/new.html", key="report") == project.resolve() / "queries" / "new.html"
