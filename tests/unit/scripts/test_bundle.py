"""`scripts/bundle`: the project folder for digdag, and the files of the user that it keeps."""

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
from td_pinterest_op.cli.check import check_file
from tests import children
from tests.campaigns import select_rows


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new folder laid out by the script, to read only."""
    folder = tmp_path_factory.mktemp("bundle") / "project"
    done = children.run([sys.executable, bundle.__file__, folder])
    assert (0, f"{folder}\n", "") == (done.returncode, done.stdout, done.stderr)
    return folder


@pytest.fixture(scope="module")
def complete_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out with all libraries, to read only."""
    folder = tmp_path_factory.mktemp("bundle") / "complete"
    assert 0 == bundle.main([str(folder), "--with-dependencies"])
    return folder


@pytest.fixture
def folder(new_folder: Path, tmp_path: Path) -> Path:
    """A new folder, to change."""
    return shutil.copytree(new_folder, tmp_path / "project")


def test_bundle_contains_workflows_operator_and_library_with_licences(new_folder: Path) -> None:
    names = {path.relative_to(new_folder).as_posix() for path in new_folder.rglob("*") if path.is_file()}
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


def test_bundle_contains_no_command_line_and_no_compiled_file(new_folder: Path) -> None:
    names = [path.relative_to(new_folder).as_posix() for path in new_folder.rglob("*")]
    unwanted = (
        "td_pinterest_op/cli",
        "td_pinterest_op/__main__",
        "td_pinterest_op/README",
        ".pyc",
        ".so",
        "__pycache__",
    )
    assert [] == [name for name in names if any(part in name for part in unwanted)]


def test_links_of_the_bundled_readme_have_targets(new_folder: Path) -> None:
    text = (new_folder / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert [] == [link for link in links if not (new_folder / link).exists()]
    assert "Getting started" in text


WORKFLOWS = sorted(path.name for path in (bundle.ROOT / "workflows").glob("*.dig"))


def list_user_files(folder: Path) -> set[str]:
    """Return the workflows, queries and configuration of a folder, and its README."""
    patterns = ("*.dig", "*.md", "config/*", "queries/*")
    return {path.relative_to(folder).as_posix() for pattern in patterns for path in folder.glob(pattern)}


@pytest.mark.parametrize("workflow", select_rows(WORKFLOWS, quick=4))
def test_bundle_of_a_named_workflow_has_only_the_files_it_needs(workflow: str, tmp_path: Path) -> None:
    assert 0 == bundle.main([str(tmp_path), workflow])
    digs = list(tmp_path.glob("*.dig"))
    assert [] == [str(finding) for dig in digs for finding in check_file(dig) if finding.code == "left-out"]
    names = list_user_files(tmp_path)
    texts = "".join((tmp_path / name).read_text() for name in names)
    assert [] == [name for name in names - {workflow} if Path(name).name.removesuffix(".dig") not in texts]
    assert "README.md" not in names


def test_further_calls_add_workflows_and_a_call_without_names_adds_all(new_folder: Path, tmp_path: Path) -> None:
    bundle.main([str(tmp_path), "pinterest_export.dig"])
    assert {"pinterest_export.dig"} == {path.name for path in tmp_path.glob("*.dig")}
    (tmp_path / "queries" / "people.sql").write_text("mine")
    bundle.main([str(tmp_path), "pinterest_clear", "workflows/pinterest_delete.dig"])
    expected = {f"pinterest_{verb}.dig" for verb in ("export", "clear", "delete")}
    assert expected == {path.name for path in tmp_path.glob("*.dig")}
    bundle.main([str(tmp_path)])
    assert list_user_files(new_folder) == list_user_files(tmp_path)
    assert "mine" == (tmp_path / "queries" / "people.sql").read_text()


def test_update_adds_files_that_a_changed_workflow_names(tmp_path: Path) -> None:
    bundle.main([str(tmp_path), "pinterest_clear.dig"])
    with (tmp_path / "pinterest_clear.dig").open("a") as dig:
        dig.write("+more:\n  td>: queries/people.sql\n")
    bundle.main([str(tmp_path), "--update"])
    assert (tmp_path / "queries" / "people.sql").exists()


@pytest.mark.parametrize("is_own", [False, True])
def test_update_adds_no_workflow_to_a_folder_whose_only_workflow_was_changed(tmp_path: Path, is_own: bool) -> None:
    bundle.main([str(tmp_path), "pinterest_export.dig"])
    workflow = tmp_path / "pinterest_export.dig"
    workflow.write_text(f"{workflow.read_text()}\n# mine\n")
    if is_own:
        workflow.rename(tmp_path / "mine.dig")
    before = list_user_files(tmp_path)
    for _ in range(3):
        bundle.main([str(tmp_path), "--update"])
        assert before == list_user_files(tmp_path)


@pytest.mark.parametrize("place", ["file", "file/project", "/dev/null/project"])
def test_a_folder_that_cannot_be_created_ends_the_bundle_with_a_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    said = rf"^{re.escape(str(tmp_path / place))} cannot be created \(/\S+: [A-Z][a-z ]+\): name another folder$"
    with pytest.raises(SystemExit, match=said):
        bundle.main([str(tmp_path / place), "pinterest_export.dig"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["{folder}", "pinterest_exports.dig"],
            "there is no workflow pinterest_exports.dig: there are pinterest_activ",
        ),
        (["pinterest_export.dig"], "name the folder before the workflows"),
    ],
)
def test_unknown_names_are_a_usage_error_and_write_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        bundle.main([argument.format(folder=tmp_path / "project") for argument in arguments])
    assert (2, True) == (end.value.code, said in capsys.readouterr().err)
    assert [] == list(tmp_path.iterdir())


def test_update_keeps_the_layout_of_the_folder(tmp_path: Path) -> None:
    bundle.main([str(tmp_path), "pinterest_export.dig", "pinterest_clear.dig", "--with-dependencies"])
    bundle.main([str(tmp_path), "--with-phone-numbers", "pinterest_export.dig"])
    (tmp_path / "pinterest_clear.dig").unlink()
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    assert {"requests", "phonenumbers"} <= {path.name for path in tmp_path.iterdir()}
    (tmp_path / "td_pinterest_op" / "export.py").unlink()
    bundle.main([str(tmp_path), "--update"])
    assert before == {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}


@pytest.mark.parametrize(
    ("file", "text", "is_used"),
    [
        ("mine.dig", "result_settings:\n  records: rows\n  columns: {mobile: phone}\n", True),
        ("mine.dig", 'result_settings: {"records": "ROWS", "columns": {"mobile": "phone"}}\n', True),
        ("config/mine.yml", "records: 'rows'\nquery: SELECT email, Phone FROM people\n", True),
        ("mine.dig", "# records: rows\ncolumns: {mobile: phone}\n", False),
        ("mine.dig", "records: rows\n", False),
        ("queries/mine.sql", "SELECT email, phone FROM people\n", False),
        ("mine.dig", "records: rows\ncolumns: {phones: email}\n", False),
    ],
)
def test_bundle_contains_the_phone_library_if_the_project_uses_phone_numbers(
    tmp_path: Path, file: str, text: str, is_used: bool
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    bundle.main([str(tmp_path)])
    assert is_used == (tmp_path / "phonenumbers" / "__init__.py").exists()
    (tmp_path / file).write_text("")
    bundle.main([str(tmp_path), "--update"])
    assert not (tmp_path / "phonenumbers").exists()


def test_update_keeps_files_that_the_user_has_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = ["config/pinterest.yml", "pinterest_export.dig", "queries/people.sql"]
    for name in [*mine, "notes.txt"]:
        (folder / name).write_text("mine")
    for _ in range(2):
        assert 0 == bundle.main([str(folder)])
        assert f"kept, since they were filled in or changed: {', '.join(mine)}\n" == capsys.readouterr().err
    assert {"mine"} == {(folder / name).read_text() for name in [*mine, "notes.txt"]}


def test_update_replaces_an_unchanged_file_of_an_older_version(folder: Path) -> None:
    manifest, package = folder / ".laid_out.json", folder / "td_pinterest_op"
    newest = (package / "export.py").read_text()
    hashes = json.loads(manifest.read_text())
    for name in ("export.py", "gone.py"):
        (package / name).write_text("older")
        hashes[f"td_pinterest_op/{name}"] = hashlib.sha256(b"older").hexdigest()
    manifest.write_text(json.dumps(hashes))
    assert 0 == bundle.main([str(folder)])
    assert (newest, False) == ((package / "export.py").read_text(), (package / "gone.py").exists())


def test_changed_code_is_an_error_before_anything_is_written(folder: Path) -> None:
    (folder / "td_pinterest_op" / "export.py").write_text("changed")
    (folder / "pinterest_clear.dig").unlink()
    said = r"td_pinterest_op/export\.py\. Nothing was written\. Move it away, or name another folder"
    with pytest.raises(SystemExit, match=said):
        bundle.main([str(folder)])
    assert not (folder / "pinterest_clear.dig").exists()


@pytest.mark.parametrize("options", [[], ["--with-phone-numbers"]])
def test_bundle_with_dependencies_runs_without_installed_libraries(
    complete_folder: Path, tmp_path: Path, options: list[str]
) -> None:
    folder = complete_folder
    if options:
        folder = tmp_path
        bundle.main([str(folder), "--with-dependencies", *options])
    path = "import sys; sys.path.append('.')"
    probe = f"{path}; import td_pinterest_op.export, msgpack; print(msgpack.unpackb(b'\\x91\\x01'))"
    phone = (
        "from td_pinterest_op.identifiers.phones import normalise_phone; print(normalise_phone('+49 30 901820', None))"
    )
    code = f"{probe}; {phone}" if options else probe
    # -I -S: no site-packages, user packages or PYTHONPATH. -B: the folder stays unchanged.
    done = children.run([sys.executable, "-B", "-I", "-S", "-W", "error", "-c", code], cwd=folder)
    assert ("[1]\n" + ("4930901820\n" if options else ""), "") == (done.stdout, done.stderr)


def test_bundle_with_dependencies_contains_no_unused_files(complete_folder: Path) -> None:
    names = [
        path.relative_to(complete_folder).as_posix()
        for path in complete_folder.rglob("*")
        if path.name != ".laid_out.json"
    ]
    unwanted = re.compile(r"(?:phonenumbers|tzdata).*|(?!td_pinterest_op/).*(?:/py\.typed|\.pyi|\.pyc|\.so|\.js)")
    assert [] == [name for name in names if unwanted.fullmatch(name)]
    assert 3_200_000 > archive_size(complete_folder)


def archive_size(folder: Path) -> int:
    """Return the number of bytes that a push sends, unpacked."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != ".laid_out.json")


def test_bundle_with_phone_library_and_sample_fits_the_limit_of_a_digdag_server(
    tmp_path: Path, new_folder: Path
) -> None:
    bundle.main([str(tmp_path), "--with-phone-numbers"])
    # api.max_archive_total_size_limit of a server that sets none; a sample of 150 KB.
    assert 2_097_152 > archive_size(tmp_path) + 150_000
    assert 2_097_152 / 2 > archive_size(new_folder)


def test_bundle_with_dependencies_fits_the_limit_of_hosted_workflows(complete_folder: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(complete_folder)
    assert 10_000_000 > len(archive.getvalue())


def test_removed_libraries_leave_no_empty_folder(complete_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(complete_folder, tmp_path / "project")
    assert (folder / "requests").is_dir()
    bundle.main([str(folder)])
    assert not (folder / "requests").exists()
    assert 0 == len([path for path, folders, files in os.walk(folder) if not folders and not files])
