"""`td-pinterest bundle`: the project folder for digdag, and the files of the user that it leaves alone."""

import configparser
import contextlib
import errno
import io
import itertools
import os
import random
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from setuptools import find_packages  # type: ignore[import-untyped]

from td_pinterest_op import __version__
from td_pinterest_op.cli.bundled_code import PACKAGE_NAME, PACKAGE_PARENT, collect_code, replace_code
from td_pinterest_op.cli.lint.workflow_check import check_workflow
from td_pinterest_op.cli.shipped_files import SHIPPED_WORKFLOWS_FOLDER
from tests import children
from tests.campaigns import select_rows
from tests.unit.cli.running import Terminal


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new folder with all workflows, to read only; made by the script, called by a link, with a CDPATH."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "link").symlink_to(PACKAGE_PARENT / "scripts" / "bundle")
    (folder / "elsewhere" / "scripts").mkdir(parents=True)
    environ = os.environ | {"CDPATH": str(folder / "elsewhere")}
    done = children.run(["./link", "project"], cwd=folder, env=environ)
    assert (done.returncode, done.stdout) == (0, "project\n"), done.stderr
    return folder / "project"


@pytest.fixture(scope="module")
def complete_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all libraries, to read only."""
    folder = tmp_path_factory.mktemp("bundle") / "complete"
    command: list[str | Path] = [sys.executable, "-m", "td_pinterest_op", "bundle", folder, "--with-dependencies"]
    children.run(command, cwd=PACKAGE_PARENT).check_returncode()
    return folder


@pytest.fixture
def folder(new_folder: Path, tmp_path: Path) -> Path:
    """A new folder, to change."""
    return shutil.copytree(new_folder, tmp_path / "project")


def list_names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def list_user_files(folder: Path) -> dict[str, str]:
    """Return the texts of the workflows, queries and configuration of a folder, and its README, by name."""
    names = [name for name in list_names(folder) if name.endswith((".dig", ".md", ".yml", ".sql"))]
    return {name: (folder / name).read_text() for name in names}


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


def test_bundle_contains_workflows_operator_and_library_with_licences(new_folder: Path) -> None:
    names = list_names(new_folder)
    expected = {"pinterest_export.dig", "config/export.yml", "queries/people.sql", "td_pinterest_op/export.py"}
    expected |= {"td_pinterest_op/LICENSE", "backoff/__init__.py"}
    assert expected - set(names) == set()
    assert any(name.startswith("python_backoff-") and "LICENSE" in name for name in names)
    unwanted = re.compile(r"td_pinterest_op/(?:cli|__main__|README).*|.*\.pyc|.*\.so")
    assert [name for name in names if unwanted.fullmatch(name)] == []


def test_links_of_the_bundled_readme_have_targets(new_folder: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", (new_folder / "README.md").read_text())
    assert [link for link in links if not (new_folder / link).exists()] == []


@pytest.mark.parametrize(
    "workflow", select_rows(sorted(path.name for path in SHIPPED_WORKFLOWS_FOLDER.glob("*.dig")), quick=3)
)
def test_bundle_of_a_named_workflow_has_only_the_files_it_needs(
    workflow: str, terminal: Terminal, tmp_path: Path
) -> None:
    assert terminal("bundle", tmp_path, workflow).code == 0
    found = [finding for dig in tmp_path.glob("*.dig") for finding in check_workflow(dig).findings]
    assert [str(finding) for finding in found if finding.code in ("yaml", "value")] == []
    files = list_user_files(tmp_path)
    others = [name for name in files if name != workflow]
    assert [name for name in others if Path(name).name.removesuffix(".dig") not in "".join(files.values())] == []
    assert "README.md" not in files


def test_further_calls_add_workflows_and_leave_files_of_the_user(
    terminal: Terminal, new_folder: Path, tmp_path: Path
) -> None:
    terminal("bundle", tmp_path, "pinterest_export.dig")
    assert [path.name for path in tmp_path.glob("*.dig")] == ["pinterest_export.dig"]
    (tmp_path / "queries" / "people.sql").write_text("mine")
    assert terminal("bundle", tmp_path, "pinterest_erasure", "workflows/pinterest_status.dig").code == 0
    expected = {f"pinterest_{verb}.dig" for verb in ("export", "erasure", "status")}
    assert {path.name for path in tmp_path.glob("*.dig")} == expected
    ran = terminal("bundle", tmp_path)
    written = ran.err.splitlines()[0]
    assert written.startswith(f"Wrote version {__version__} of the operator, its libraries, README.md, ")
    assert ("pinterest_audiences.dig" in written, "pinterest_export.dig" in written) == (True, False)
    assert list_user_files(tmp_path) == list_user_files(new_folder) | {"queries/people.sql": "mine"}


def test_update_writes_code_and_libraries_only(terminal: Terminal, tmp_path: Path) -> None:
    terminal("bundle", tmp_path, "pinterest_export.dig", "--with-dependencies", "--with-phone-numbers")
    (tmp_path / "pinterest_export.dig").write_text("+a:\n  td>: queries/other.sql\n")
    (tmp_path / "queries" / "people.sql").unlink()
    before = list_names(tmp_path)
    users = list_user_files(tmp_path)
    package = tmp_path / "td_pinterest_op"
    newest = (package / "export.py").read_text()
    assert {"requests/__init__.py", "phonenumbers/__init__.py"} <= set(before)
    write_older_code(tmp_path)
    assert terminal("bundle", tmp_path, "--update").code == 0
    assert (list_names(tmp_path), list_user_files(tmp_path)) == (before, users)
    assert ((package / "export.py").read_text(), (package / "old" / "gone.py").exists()) == (newest, False)


def test_code_in_a_checkout_stays_complete(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").touch()
    own = tmp_path / PACKAGE_NAME / "cli" / "own.py"
    own.parent.mkdir(parents=True)
    own.write_text("")
    replace_code(tmp_path, collect_code())
    assert own.exists()


class _Killed(BaseException):
    """The end of the process: nothing else is done."""


def interrupt(monkeypatch: pytest.MonkeyPatch, *, at: int, is_full: int) -> Iterator[int]:
    """Let the writing call number `at` and all later ones fail, by a kill or a full disk. Return a counter of calls."""
    numbers = itertools.count()

    def patch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            number = next(numbers)
            if number < at or (is_full and name not in ("write_bytes", "mkdir")):
                return real(*arguments, **options)
            if number == at and name == "write_bytes":
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(errno.ENOSPC, "No space left on device") if is_full else _Killed

        monkeypatch.setattr(owner, name, call)

    for name in ("write_bytes", "replace", "mkdir", "unlink", "rmdir"):
        patch(Path, name)
    patch(shutil, "rmtree")
    return numbers


def write_older_code(folder: Path) -> None:
    """Let a folder have the code of an older version, with a file that is gone."""
    for name in ("td_pinterest_op/export.py", "td_pinterest_op/old/gone.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("older")


def read_all(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in list_names(folder)}


_PLACES = [(command, is_full, n) for n in range(10) for command in ("bundle", "update", "push") for is_full in (0, 1)]


@pytest.mark.parametrize(("command", "is_full", "place"), select_rows(_PLACES, quick=4))
def test_command_that_was_interrupted_anywhere_ends_well_when_it_runs_again(
    terminal: Terminal,
    new_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    is_full: int,
    place: int,
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "td").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "td").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    def run_twice(folder: Path, at: int) -> int:
        """Run the command with an interruption, and again without. Return the number of its writing calls."""
        arguments = {"bundle": ["bundle"], "update": ["bundle", "--update"], "push": ["push", "--with=td", "audiences"]}
        if command != "bundle":
            shutil.copytree(new_folder, folder, ignore=shutil.ignore_patterns("*.dig"))
            (folder / "mine.dig").write_text("+a: {echo>: mine}\n")
            write_older_code(folder)
        with pytest.MonkeyPatch.context() as patched:
            numbers = interrupt(patched, at=at, is_full=is_full)
            with contextlib.suppress(_Killed):
                terminal(*arguments[command], folder)
        assert terminal(*arguments[command], folder).code == 0
        return next(numbers)

    count = run_twice(tmp_path / "whole", sys.maxsize)
    run_twice(tmp_path / "interrupted", random.Random(f"{command} {is_full} {place}").randrange(count))
    assert read_all(tmp_path / "interrupted") == read_all(tmp_path / "whole")


def test_nothing_outside_the_folder_is_removed_or_written(terminal: Terminal, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text("")
    (folder / "td_pinterest_op" / "linked").symlink_to(tmp_path / "mine")
    assert terminal("bundle", folder, "--update").code == 0
    assert (tmp_path / "mine" / "mine.py").exists()
    shutil.move(folder / "td_pinterest_op", tmp_path / "code")
    (folder / "td_pinterest_op").symlink_to(tmp_path / "code")
    assert terminal("bundle", folder, "--update").failed("td_pinterest_op/LICENSE leads out of ")
    (folder / "td_pinterest_op").unlink()
    (folder / "pinterest_export.dig").unlink()
    (folder / "pinterest_export.dig").symlink_to(tmp_path / "elsewhere")
    assert terminal("bundle", folder).code == 0
    shutil.move(folder / "queries", tmp_path / "queries")
    (folder / "queries").symlink_to(tmp_path / "queries")
    (tmp_path / "queries" / "people.sql").unlink()
    assert terminal("bundle", folder).failed("queries/people.sql leads out of ")
    assert {path.name for path in tmp_path.iterdir()} == {"project", "mine", "code", "queries"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["project", "pinterest_exports.dig"], 2, "no workflow pinterest_exports.dig: there are pinterest_activ"),
        (["project", "pinterest_export.dig", "--update"], 2, "--update adds no workflow"),
        (["elsewhere", "--update"], 1, "elsewhere is no project folder, since it has no workflow"),
        (["/dev/null/project"], 1, "/dev/null/project cannot be read or written: Not a"),
    ],
)
def test_wrong_names_are_an_error_and_write_nothing(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert terminal("bundle", *arguments).failed(said, code=code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--with-phone-numbers"]])
def test_bundle_with_dependencies_runs_without_installed_libraries(
    terminal: Terminal, complete_folder: Path, tmp_path: Path, options: list[str]
) -> None:
    folder = complete_folder
    if options:
        folder = tmp_path
        terminal("bundle", folder, "--with-dependencies", *options)
    code = "import sys; sys.path.append('.'); import td_pinterest_op.export, msgpack"
    code += "; print(msgpack.unpackb(b'\\x91\\x01'))"
    if options:
        code += "; from td_pinterest_op.identifiers.phones import normalise_phone"
        code += "; print(normalise_phone('+49 30 901820', None))"
    # -I -S: no site-packages, user packages or PYTHONPATH. -B: the folder stays unchanged.
    done = children.run([sys.executable, "-B", "-I", "-S", "-W", "error", "-c", code], cwd=folder)
    assert (done.stdout, done.stderr) == ("[1]\n" + ("4930901820\n" if options else ""), "")


def measure_archive(folder: Path) -> int:
    """Return the number of bytes that a push sends, unpacked."""
    return sum((folder / name).stat().st_size for name in list_names(folder) if not name.startswith("."))


def test_bundle_fits_the_limits_of_servers(
    terminal: Terminal, tmp_path: Path, new_folder: Path, complete_folder: Path
) -> None:
    unwanted = re.compile(r"(?:phonenumbers|tzdata).*|(?!td_pinterest_op/).*(?:/py\.typed|\.pyi|\.pyc|\.so|\.js)")
    assert [name for name in list_names(complete_folder) if unwanted.fullmatch(name)] == []
    terminal("bundle", tmp_path, "--with-phone-numbers")
    # api.max_archive_total_size_limit of a server that sets none; a sample of 150 KB.
    assert measure_archive(tmp_path) + 150_000 < 2_097_152
    assert measure_archive(new_folder) < 2_097_152 / 2
    assert measure_archive(complete_folder) < 3_200_000
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(complete_folder)
    assert len(archive.getvalue()) < 10_000_000
