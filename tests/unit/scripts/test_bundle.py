"""`scripts/bundle`: the project folder that digdag takes, and what it leaves alone there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from scripts import bundle
from tests import children


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was just laid out, by the script itself; to look at."""
    folder = tmp_path_factory.mktemp("bundle") / "project"
    done = children.run([sys.executable, bundle.__file__, folder])
    assert (0, f"{folder}\n", "") == (done.returncode, done.stdout, done.stderr)
    return folder


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was laid out with all libraries; to look at."""
    folder = tmp_path_factory.mktemp("bundle") / "complete"
    assert 0 == bundle.main([str(folder), "--with-dependencies"])
    return folder


@pytest.fixture
def folder(new: Path, tmp_path: Path) -> Path:
    """A folder that was just laid out; to change."""
    return shutil.copytree(new, tmp_path / "project")


def test_it_holds_workflows_operator_and_the_missing_library_with_their_licences(new: Path) -> None:
    names = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()}
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


def test_it_holds_nothing_that_serves_people_at_a_terminal_or_fits_one_python_only(new: Path) -> None:
    names = [path.relative_to(new).as_posix() for path in new.rglob("*")]
    unwanted = ("td_pinterest_op/cli", "td_pinterest_op/__main__", ".pyc", ".so", "__pycache__")
    assert [] == [name for name in names if any(part in name for part in unwanted)]


def test_the_links_of_its_readmes_lead_somewhere(new: Path) -> None:
    links = [
        (document.parent / link).resolve()
        for document in (new / "README.md", new / "td_pinterest_op" / "README.md")
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text())
    ]
    assert [] == [link for link in links if not link.exists()]
    assert links


def test_files_that_the_user_has_changed_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = ["config/pinterest.yml", "pinterest_export.dig", "queries/people.sql"]
    for name in [*mine, "notes.txt"]:
        (folder / name).write_text("mine")
    for _ in range(2):
        assert 0 == bundle.main([str(folder)])
        said = "".join(f"kept {name}: it was changed since it was laid out\n" for name in mine)
        assert said == capsys.readouterr().err
    assert {"mine"} == {(folder / name).read_text() for name in [*mine, "notes.txt"]}


def test_a_file_of_an_older_version_is_brought_up_to_date(folder: Path) -> None:
    manifest, package = folder / ".laid_out.json", folder / "td_pinterest_op"
    newest = (package / "export.py").read_text()
    hashes = json.loads(manifest.read_text())
    for name in ("export.py", "gone.py"):
        (package / name).write_text("older")
        hashes[f"td_pinterest_op/{name}"] = hashlib.sha256(b"older").hexdigest()
    manifest.write_text(json.dumps(hashes))
    assert 0 == bundle.main([str(folder)])
    assert (newest, False) == ((package / "export.py").read_text(), (package / "gone.py").exists())


def test_changed_code_is_refused_before_anything_is_written(folder: Path) -> None:
    (folder / "td_pinterest_op" / "export.py").write_text("changed")
    (folder / "pinterest_clear.dig").unlink()
    said = r"td_pinterest_op/export\.py\. Nothing was written\. Move it away, or name another folder"
    with pytest.raises(SystemExit, match=said):
        bundle.main([str(folder)])
    assert not (folder / "pinterest_clear.dig").exists()


def test_with_dependencies_it_runs_where_python_has_no_library_at_all(complete: Path) -> None:
    path = "import sys; sys.path.append('.')"
    probe = f"{path}; import td_pinterest_op.export, msgpack; print(msgpack.unpackb(b'\\x91\\x01'))"
    # -I -S: neither site-packages nor the user's own nor PYTHONPATH. -B: the folder stays as it is.
    done = children.run([sys.executable, "-B", "-I", "-S", "-W", "error", "-c", probe], cwd=complete)
    assert ("[1]\n", "") == (done.stdout, done.stderr)


def test_with_dependencies_it_is_within_what_hosted_workflows_take(complete: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(complete)
    assert 10_000_000 > len(archive.getvalue())


def test_libraries_that_are_not_wanted_any_more_leave_no_empty_folder(complete: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(complete, tmp_path / "project")
    assert (folder / "requests").is_dir()
    bundle.main([str(folder)])
    assert not (folder / "requests").exists()
    assert 0 == len([path for path, folders, files in os.walk(folder) if not folders and not files])
