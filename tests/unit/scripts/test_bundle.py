"""`scripts/bundle`: the project folder that digdag takes, and what it leaves alone there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests import children

ROOT = Path(__file__).parent.parent.parent.parent


def bundle(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "bundle.py"), str(folder), *arguments]
    return children.run(command)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that was just laid out."""
    done = bundle(tmp_path / "project")
    assert (0, "") == (done.returncode, done.stderr)
    assert str(tmp_path / "project") == done.stdout.strip()
    return tmp_path / "project"


def test_it_holds_workflows_operator_and_the_missing_library_with_their_licences(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {
        "pinterest_export.dig",
        "config/pinterest.yml",
        "queries/people.sql",
        "td_pinterest_op/export.py",
        "td_pinterest_op/LICENSE",
        "backoff/__init__.py",
    }
    assert set() == expected - names
    assert any(name.startswith("python_backoff-") and "LICENSE" in name for name in names)


def test_it_holds_nothing_that_serves_people_at_a_terminal_or_fits_one_python_only(folder: Path) -> None:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    unwanted = ("td_pinterest_op/cli", "td_pinterest_op/__main__", ".pyc", ".so", "__pycache__")
    assert [] == [name for name in names if any(part in name for part in unwanted)]


def test_the_links_of_its_readmes_lead_somewhere(folder: Path) -> None:
    links = [
        (document.parent / link).resolve()
        for document in (folder / "README.md", folder / "td_pinterest_op" / "README.md")
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text())
    ]
    assert [] == [link for link in links if not link.exists()]
    assert links


@pytest.mark.parametrize("name", ["config/pinterest.yml", "queries/people.sql", "pinterest_export.dig"])
def test_a_file_that_the_user_has_changed_stays(folder: Path, name: str) -> None:
    (folder / name).write_text("mine")
    (folder / "notes.txt").write_text("mine too")
    for _ in range(2):
        done = bundle(folder)
        assert (0, f"kept {name}: it was changed since it was laid out\n") == (done.returncode, done.stderr)
    assert ("mine", "mine too") == ((folder / name).read_text(), (folder / "notes.txt").read_text())


def test_a_file_of_an_older_version_is_brought_up_to_date(folder: Path) -> None:
    manifest, package = folder / ".laid_out.json", folder / "td_pinterest_op"
    newest = (package / "export.py").read_text()
    hashes = json.loads(manifest.read_text())
    for name in ("export.py", "gone.py"):
        (package / name).write_text("older")
        hashes[f"td_pinterest_op/{name}"] = hashlib.sha256(b"older").hexdigest()
    manifest.write_text(json.dumps(hashes))
    assert 0 == bundle(folder).returncode
    assert (newest, False) == ((package / "export.py").read_text(), (package / "gone.py").exists())


def test_changed_code_is_refused_before_anything_is_written(folder: Path) -> None:
    (folder / "td_pinterest_op" / "export.py").write_text("changed")
    (folder / "pinterest_clear.dig").unlink()
    done = bundle(folder)
    assert 1 == done.returncode
    assert "td_pinterest_op/export.py. Nothing was written. Move it away, or name another folder" in done.stderr
    assert not (folder / "pinterest_clear.dig").exists()


def test_with_dependencies_it_runs_where_python_has_no_library_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    assert 0 == bundle(folder, "--with-dependencies").returncode
    path = "import sys; sys.path.append('.')"
    probe = f"{path}; import td_pinterest_op.export, msgpack; print(msgpack.unpackb(b'\\x91\\x01'))"
    # -I -S: neither site-packages nor the user's own nor PYTHONPATH.
    done = children.run([sys.executable, "-I", "-S", "-W", "error", "-c", probe], cwd=folder)
    assert ("[1]\n", "") == (done.stdout, done.stderr)


def test_with_dependencies_it_is_within_what_hosted_workflows_take(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    bundle(folder, "--with-dependencies")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(folder)
    assert 10_000_000 > len(archive.getvalue())


def test_libraries_that_are_not_wanted_any_more_leave_no_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    bundle(folder, "--with-dependencies")
    assert (folder / "requests").is_dir()
    bundle(folder)
    assert not (folder / "requests").exists()
    assert 0 == len([path for path, folders, files in os.walk(folder) if not folders and not files])
