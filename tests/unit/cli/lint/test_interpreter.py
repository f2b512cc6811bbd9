"""The Python that digdag will use is asked for the operator's packages."""

import os
import sys
from pathlib import Path

import pytest

from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.lint import project
from tests import children
from tests.e2e.project import ROOT
from tests.unit.cli.lint.samples import GOOD

LOCAL = GOOD.replace("  docker:\n    image: treasuredata/customscript-python:3.12.11-td0\n", "")
_LACKS = (
    ": msgpack, requests, td-client, urllib3, PyYAML. Install them, or run `td-pinterest bundle FOLDER` with "
    "--with-dependencies"
)
_OTHER = "; or set another one with `_export: py: {python: /path/to/python}`"


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interpreter")
    children.run([sys.executable, "-m", "td_pinterest_op", "bundle", folder, "pinterest_clear.dig"], cwd=ROOT)
    return folder


@pytest.fixture(autouse=True)
def pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the PATH: a python without any library, the one of these tests, and two that do not work."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, command in (
        ("python", f'exec {sys.executable} -I -S "$@"'),
        ("python3", f'exec {sys.executable} "$@"'),
        ("python2", "echo made for another machine >&2; exit 126"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{command}\n")
        (folder / name).chmod(0o755)
    (folder / "python1").write_text("no program")
    (folder / "python1").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    project.explain_unusable_python.cache_clear()
    return folder


def _found(folder: Path, text: str) -> list[tuple[int, str]]:
    file = folder / "export.dig"
    file.write_text(text)
    return [(finding.line, finding.message) for finding in check_file(file) if finding.code == "python"]


def with_python(value: str, *, on_task: bool = False) -> str:
    if on_task:
        return LOCAL.replace("PinterestExport\n", f"PinterestExport\n  python: {value}\n")
    return LOCAL.replace("_export:\n", f"_export:\n  py: {{python: {value}}}\n")


def test_a_python_without_the_packages_is_one_warning(laid_out: Path, pythons: Path) -> None:
    ((line, message),) = _found(laid_out, LOCAL)
    assert 1 == line
    assert message.startswith(
        f"digdag runs the task with {pythons / 'python'}, and td_pinterest_op needs packages that "
    )
    assert f"{_LACKS}{_OTHER}" in message


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (with_python("python3"), 1, None),
        (with_python("python3", on_task=True), 1, None),
        (with_python("[python3, -u]"), 1, None),
        (with_python("python"), 1, _LACKS),
        (with_python("python", on_task=True), 13, _LACKS),
        (with_python("python", on_task=True).replace("python: python", "python: '${which}'"), 1, None),
        (with_python("/opt/none/python"), 1, "/opt/none/python, which cannot be found: set another"),
        (with_python("python2"), 1, "python2, which ends with code 126"),
        (with_python("python1"), 1, "python1, which does not run"),
        # Nobody's Python: it is not run.
        (with_python("sh"), 1, None),
        # A hosted workflow runs in a container.
        (GOOD, 1, None),
    ],
)
def test_the_python_that_a_workflow_names_is_checked(laid_out: Path, text: str, line: int, said: str | None) -> None:
    found = _found(laid_out, text)
    assert [] == found if said is None else [line] == [each for each, message in found if said in message]


def test_a_bundle_with_dependencies_accepts_any_python(tmp_path: Path) -> None:
    names: list[str | Path] = [tmp_path / "complete", "pinterest_clear.dig", "--with-dependencies"]
    children.run([sys.executable, "-m", "td_pinterest_op", "bundle", *names], cwd=ROOT)
    assert [] == _found(tmp_path / "complete", LOCAL)


def test_a_python_that_is_too_old_is_a_warning(laid_out: Path, pythons: Path) -> None:
    old = f"exec {sys.executable} -c 'import sys; sys.version_info = (3, 8); exec(sys.argv.pop(2))' \"$@\""
    (pythons / "python").write_text(f"#!/bin/sh\n{old}\n")
    ((_, message),) = _found(laid_out, LOCAL)
    assert "td_pinterest_op needs Python 3.10 or newer; this is Python 3.8" in message
    assert os.linesep not in message
