"""`td-pinterest bundle`: the copy of a project folder that a server gets."""

import configparser
import io
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from setuptools import find_packages  # type: ignore[import-untyped]

from td_pinterest_op.cli.bundled_code import PACKAGE_PARENT, SHIPPED_WORKFLOWS_FOLDER
from tests import children
from tests.unit.cli.lint.samples import OWN, write_project
from tests.unit.cli.running import Terminal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project folder of a user."""
    (tmp_path / "audiences").mkdir()
    return write_project(tmp_path / "audiences", OWN).parent


@pytest.fixture(scope="module")
def shipped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped workflows, with the ids that they lack."""
    folder = tmp_path_factory.mktemp("shipped") / "audiences"
    shutil.copytree(SHIPPED_WORKFLOWS_FOLDER, folder)
    file = folder / "config" / "audiences.yml"
    file.write_text(file.read_text().replace('audience_id: ""', 'audience_id: "549755885175000002"'))
    return folder


@pytest.fixture(scope="module")
def copy(shipped_folder: Path) -> Path:
    """The shipped workflows, bundled by the script, which is called by a link, with a CDPATH. To read only."""
    folder = shipped_folder.parent
    (folder / "link").symlink_to(PACKAGE_PARENT / "scripts" / "bundle")
    (folder / "elsewhere" / "scripts").mkdir(parents=True)
    environ = os.environ | {"CDPATH": str(folder / "elsewhere")}
    done = children.run(["./link", "audiences", "new/copy"], cwd=folder, env=environ)
    assert (done.returncode, done.stdout) == (0, "new/copy\n"), done.stderr
    return folder / "new" / "copy"


@pytest.fixture(scope="module")
def complete_copy(shipped_folder: Path) -> Path:
    """The shipped workflows with all libraries, to read only."""
    copy = shipped_folder.parent / "complete"
    command: list[str | Path] = [sys.executable, "-m", "td_pinterest_op", "bundle", shipped_folder, copy]
    children.run([*command, "--with-dependencies"], cwd=PACKAGE_PARENT).check_returncode()
    return copy


def list_names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def read_all(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in list_names(folder)}


def test_setup_cfg_names_every_package_the_pages_and_the_workflows() -> None:
    config = configparser.ConfigParser()
    config.read(PACKAGE_PARENT / "setup.cfg")
    shipped = ["docs", "workflows"]
    packages = {
        *find_packages(str(PACKAGE_PARENT), include=["td_pinterest_op*"]),
        *(f"td_pinterest_op.cli.{name}" for name in shipped),
    }
    assert config["options"]["packages"].split() == sorted(packages)
    assert config["options"]["package_dir"].split("\n")[1:] == [
        f"td_pinterest_op.cli.{name} = {name}" for name in shipped
    ]


def test_copy_has_the_files_as_they_are_the_operator_and_a_library_with_licences(
    copy: Path, shipped_folder: Path
) -> None:
    copied = read_all(copy)
    assert read_all(shipped_folder).items() <= copied.items()
    added = copied.keys() - read_all(shipped_folder).keys()
    assert {"td_pinterest_op/export.py", "td_pinterest_op/LICENSE", "backoff/__init__.py"} <= added
    assert any(name.startswith("python_backoff-") and "LICENSE" in name for name in added)
    assert {name.partition("/")[0].partition("-")[0] for name in added} == {
        "td_pinterest_op",
        "backoff",
        "python_backoff",
    }
    unwanted = re.compile(r"td_pinterest_op/(?:cli|__main__|README).*|.*\.pyc|.*\.so")
    assert [name for name in copied if unwanted.fullmatch(name)] == []


def test_bundle_only_reads_the_folder(terminal: Terminal, folder: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    assert terminal("bundle", folder, tmp_path / "copy").code == 0
    assert before == {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_bundle_leaves_out_hidden_files_and_environments_and_names_them(
    terminal: Terminal, folder: Path, tmp_path: Path
) -> None:
    for name in (".env", ".git/config", "venv/pyvenv.cfg", "lib/__pycache__/a.pyc", "lib/.cache/a", "lib/a.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("client_secret=s3cr3t0123456789abcdef\n" if name == ".env" else "")
    ran = terminal("bundle", folder, tmp_path / "copy")
    assert ran.err.splitlines()[0] == "Left out: .env, .git, lib/.cache, lib/__pycache__, venv"
    assert {name for name in list_names(tmp_path / "copy") if name.startswith((".", "venv", "lib"))} == {"lib/a.py"}


def test_bundle_keeps_links_inside_the_folder_and_modes(terminal: Terminal, folder: Path, tmp_path: Path) -> None:
    (folder / "queries" / "same.sql").symlink_to("people.sql")
    (folder / "all").symlink_to(folder / "queries")
    (folder / "loop").symlink_to(".")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    copy = tmp_path / "copy"
    assert terminal("bundle", folder, copy).code == 0
    links = {path.name: str(path.readlink()) for path in copy.rglob("*") if path.is_symlink()}
    assert links == {"same.sql": "people.sql", "all": "queries", "loop": "."}
    assert os.access(copy / "run.sh", os.X_OK)


def write_odd_files(folder: Path) -> None:
    """Write what cannot be pushed."""
    (folder.parent / "outside").mkdir()
    (folder.parent / "outside" / "a.sql").write_text("SELECT 1")
    (folder / ".env").write_text("A=1\n")
    (folder / "td_pinterest_op").mkdir()
    (folder / "td_pinterest_op" / "export.py").write_text("")
    (folder / "backoff.py").write_text("")
    (folder / "requests").mkdir()
    (folder / "requests" / "people.sql").write_text("SELECT 1")
    (folder / "queries" / "out.sql").symlink_to("../../outside/a.sql")
    (folder / "out").symlink_to(folder.parent / "outside")
    (folder / "absolute.sql").symlink_to("/etc/hostname")
    (folder / "hidden").symlink_to(".env")
    (folder / "nowhere").symlink_to("missing")
    (folder / "self").symlink_to("self")
    os.mkfifo(folder / "pipe")
    (folder / "old\x1b.yml").write_text("client_secret: s3cr3t0123456789abcdef\n")


def test_bundle_names_all_that_is_wrong_with_files_and_writes_nothing(
    terminal: Terminal, folder: Path, tmp_path: Path
) -> None:
    write_odd_files(folder)
    before = set(tmp_path.iterdir())
    ran = terminal("bundle", folder, tmp_path / "copy")
    taken = "this name is that of the operator or of a library, which are added: rename it"
    out = "this link leads out of the folder: replace it by a copy"
    assert ran.err.splitlines() == [
        "Left out: .env",
        f"{folder}/requests: copied; the operator would use it on a server without the library of this name",
        f"{folder}/absolute.sql: {out}",
        f"{folder}/backoff.py: {taken}",
        f"{folder}/hidden: this link leads to a file that is left out: remove it",
        f"{folder}/nowhere: this link leads nowhere: remove it",
        f"{folder}/out: {out}",
        f"{folder}/pipe: it is not a regular file: remove it",
        f"{folder}/queries/out.sql: {out}",
        f"{folder}/self: this link leads nowhere: remove it",
        f"{folder}/td_pinterest_op: {taken}",
        f"{folder}/old\\x1b.yml: it sets client_secret to a plain value, which everybody who can read the project "
        "would see",
        f"error: {folder} has errors, which are named above: correct them first. Nothing was written",
    ]
    assert (ran.code, before) == (1, set(tmp_path.iterdir()))


def test_bundle_names_a_file_and_a_folder_that_cannot_be_read(
    terminal: Terminal, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> PermissionError:
        return PermissionError(13, "Permission denied", str(path))

    def open_file(path: Path, *given: Any, **more: Any) -> Any:
        if path == folder / "queries" / "people.sql":
            raise refuse(path)
        return original_open(path, *given, **more)

    original_open = Path.open
    list_folder = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.name == "closed":
            raise refuse(path)
        return list_folder(path)

    def is_file(path: Path) -> bool:
        if path.parent.name == "closed":
            raise refuse(path)
        return os.path.isfile(path)  # noqa: PTH113

    (folder / "closed").mkdir()
    monkeypatch.setattr(Path, "open", open_file)
    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setattr(Path, "is_file", is_file)
    said = terminal("bundle", folder, tmp_path / "copy").err.splitlines()
    assert [line for line in said if "it cannot be read" in line] == [
        f"{folder}/closed: it cannot be read: Permission denied",
        f"{folder}/queries/people.sql: it cannot be read: Permission denied",
    ]
    assert not (tmp_path / "copy").exists()


def test_large_project_is_named_with_its_largest_file(terminal: Terminal, folder: Path, tmp_path: Path) -> None:
    with (folder / "people.csv").open("wb") as file:
        file.truncate(30_000_000)
    said = terminal("bundle", folder, tmp_path / "copy").err
    assert re.search(r"^The project has 30\.\d MB, and its largest file, people\.csv, 30\.0 MB: hosted", said, re.M)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("audiences", "audiences/copy"), "audiences/copy is in audiences, where nothing is written"),
        (("audiences", "audiences"), "audiences is in audiences, where nothing is written"),
        (("audiences", "link"), "link is in audiences, where nothing is written"),
        (("audiences", "full"), "full is not empty: name a new folder"),
        (("empty", "copy"), "empty has no workflow: make a project folder with `"),
        (("missing", "copy"), "missing has no workflow: make a project folder with `"),
        (("audiences", "/dev/null/copy"), "/dev/null/copy cannot be read or written: Not a directory"),
    ],
)
def test_wrong_folders_are_an_error_and_nothing_is_written(
    terminal: Terminal,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "link").symlink_to(folder / "queries")
    before = sorted(tmp_path.rglob("*"))
    assert terminal("bundle", *arguments).failed(said)
    assert before == sorted(tmp_path.rglob("*"))


def test_empty_folder_is_used_and_stays_after_an_error(terminal: Terminal, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    os.mkfifo(folder / "pipe")
    assert (terminal("bundle", folder, copy).code, list(copy.iterdir())) == (1, [])
    (folder / "pipe").unlink()
    assert (terminal("bundle", folder, copy).code, (copy / "export.dig").exists()) == (0, True)


@pytest.mark.parametrize("options", [[], ["--with-phone-numbers"]])
def test_copy_with_dependencies_runs_without_installed_libraries(
    terminal: Terminal, shipped_folder: Path, complete_copy: Path, tmp_path: Path, options: list[str]
) -> None:
    copy = complete_copy
    if options:
        copy = tmp_path / "copy"
        terminal("bundle", shipped_folder, copy, "--with-dependencies", *options)
    code = "import sys; sys.path.append('.'); import td_pinterest_op.export, msgpack"
    code += "; print(msgpack.unpackb(b'\\x91\\x01'))"
    if options:
        code += "; from td_pinterest_op.identifiers.phones import normalise_phone"
        code += "; print(normalise_phone('+49 30 901820', None))"
    # -I -S: no site-packages, user packages or PYTHONPATH. -B: the folder stays unchanged.
    done = children.run([sys.executable, "-B", "-I", "-S", "-W", "error", "-c", code], cwd=copy)
    assert (done.stdout, done.stderr) == ("[1]\n" + ("4930901820\n" if options else ""), "")


def test_copies_fit_the_limits_of_servers(
    terminal: Terminal, tmp_path: Path, shipped_folder: Path, copy: Path, complete_copy: Path
) -> None:
    unwanted = re.compile(r"(?:phonenumbers|tzdata).*|(?!td_pinterest_op/).*(?:/py\.typed|\.pyi|\.pyc|\.so|\.js)")
    assert [name for name in list_names(complete_copy) if unwanted.fullmatch(name)] == []
    terminal("bundle", shipped_folder, tmp_path / "copy", "--with-phone-numbers")

    def measure(folder: Path) -> int:
        return sum((folder / name).stat().st_size for name in list_names(folder))

    # api.max_archive_total_size_limit of a server that sets none; a sample of 150 KB.
    assert measure(tmp_path / "copy") + 150_000 < 2_097_152
    assert measure(copy) < 2_097_152 / 2
    assert measure(complete_copy) < 3_200_000
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(complete_copy)
    assert len(archive.getvalue()) < 10_000_000
