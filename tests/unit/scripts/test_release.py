"""`scripts/release`: its preconditions, and the tag that it creates."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from td_pinterest_op import __version__
from tests import children

ROOT = Path(__file__).parent.parent.parent.parent
CHANGELOG = "# Changelog\n\n## [1.2.3] - 2026-01-02\n\n### Added\n\n- Lists.\n\n## [1.2.2] - 2026-01-01\n\n- Old.\n"


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return children.run(command, cwd=project)


def commit(project: Path) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@a.example")
    assert run(project, "git", "add", "--all").returncode == 0
    assert run(project, "git", *who, "commit", "--message", "x").returncode == 0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of version 1.2.3 with trivial checks."""
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "A")
        monkeypatch.setenv(f"{name}_EMAIL", "a@a.example")
    for folder in ("scripts", "td_pinterest_op", ".ci"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "scripts" / "release", tmp_path / "scripts")
    (tmp_path / "td_pinterest_op" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / ".ci" / "run").write_text("#!/bin/sh\necho checked\n")
    (tmp_path / "scripts" / "sbom").write_text("#!/bin/sh\necho listed\n")
    for name in (".ci/run", "scripts/sbom"):
        (tmp_path / name).chmod(0o755)
    run(tmp_path, "git", "init")
    commit(tmp_path)
    return tmp_path


def test_release_checks_and_tags_with_the_changelog_entry(project: Path) -> None:
    done = run(project, "scripts/release")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("checked\nlisted\n")
    assert done.stdout.endswith("tagged v1.2.3. To publish it: git push origin v1.2.3\n")
    message = run(project, "git", "tag", "--list", "--format=%(contents)").stdout
    assert message.strip() == "td_pinterest_op 1.2.3\n\n### Added\n\n- Lists."


@pytest.mark.parametrize(
    ("file", "text", "is_committed", "said"),
    [
        ("new", "", False, "not committed"),
        ("td_pinterest_op/__init__.py", '__version__ = "1.2.4"\n', True, 'no entry "## [1.2.4] - '),
        (".ci/run", "#!/bin/sh\necho red >&2\nexit 3\n", True, "red"),
    ],
)
def test_release_creates_no_tag_of_what_is_not_ready(
    project: Path, file: str, text: str, is_committed: bool, said: str
) -> None:
    (project / file).write_text(text)
    if is_committed:
        commit(project)
    done = run(project, "scripts/release")
    assert (done.returncode != 0, said in done.stderr) == (True, True)
    assert run(project, "git", "tag").stdout == ""


def test_release_rejects_a_version_that_is_tagged(project: Path) -> None:
    assert run(project, "scripts/release").returncode == 0
    assert "v1.2.3 is tagged already" in run(project, "scripts/release").stderr


def test_changelog_has_an_entry_for_the_version_of_the_package() -> None:
    assert re.search(
        rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
