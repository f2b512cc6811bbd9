"""`.ci/run`: what it needs from the machine."""

import shutil
from pathlib import Path

import pytest

from tests import children

_RUN = Path(__file__).parent.parent.parent.parent / ".ci" / "run"
_TOOLS = ("bash", "cut", "dirname", "env", "grep", "tail", "touch", "chmod")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose scripts do nothing, and `bin`, a PATH of a machine without a browser."""
    for folder in (".ci", "scripts", "bin"):
        (tmp_path / folder).mkdir()
    shutil.copy(_RUN, tmp_path / ".ci" / "run")
    for name in ("setup", "lint", "test", "package"):
        _write_program(tmp_path / "scripts" / name, "")
    _write_program(tmp_path / "scripts" / "pythons", "echo 3.12")
    for name in _TOOLS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    _write_program(tmp_path / "bin" / "id", "echo 0")
    return tmp_path


def _write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("there", "installed", "is_asked", "code"),
    [
        (("chromium", "chromedriver"), (), False, 0),
        (("google-chrome", "chromedriver"), (), False, 0),
        ((), ("chromium", "chromedriver"), True, 0),
        (("chromium",), ("chromedriver",), True, 0),
        (("chromium",), (), True, 1),
        (("chromedriver",), (), True, 1),
    ],
)
def test_ci_installs_chromium_and_its_driver_and_fails_without_both(
    project: Path, there: tuple[str, ...], installed: tuple[str, ...], is_asked: bool, code: int
) -> None:
    for name in there:
        _write_program(project / "bin" / name, "")
    programs = " ".join(f"bin/{name}" for name in ("asked", *installed))
    _write_program(project / "bin" / "apt-get", f"touch {programs} && chmod 755 {programs}")
    done = children.run([project / ".ci" / "run"], env={"PATH": f"{project}/bin"})
    assert ((project / "bin" / "asked").exists(), done.returncode) == (is_asked, code)
    assert ("install both" in done.stderr) == bool(code)
