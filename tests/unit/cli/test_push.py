"""`td-pinterest push`: checks, and pushes a copy with td or digdag; then it says how to set the project's secrets."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import children
from tests.emulators.pinterest.tokens import MARKER
from tests.unit.cli.lint.samples import CONNECTOR, OWN
from tests.unit.cli.running import Ran, Terminal

Push = Callable[..., Ran]
ROOT = Path(__file__).parents[3]
SERVER = "https://digdag.example"


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder with commands td and digdag that record their calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "code").write_text("0")
    for name in ("td", "digdag"):
        command = folder / name
        command.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n'
            f"pwd > {tmp_path}/copy; ls > {tmp_path}/names; mkdir .digdag; echo sending; exit $(cat {tmp_path}/code)\n"
        )
        command.chmod(0o755)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project folder with one workflow of the user's own."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    line = "    TOKEN: ${secret:pinterest.refresh_token}\n"
    (folder / "mine.dig").write_text(f"timezone: UTC\n+a:\n  py>: mine.Mine\n  _env:\n{line}")
    return folder


@pytest.fixture
def push(terminal: Terminal, bin_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Push:
    """Pushes the folder, with the options given, to the project `audiences`."""
    monkeypatch.setenv("PATH", str(bin_folder), prepend=os.pathsep)
    return lambda *options: terminal("push", *options, "audiences", folder)


def read_calls(tmp_path: Path) -> list[str]:
    file = tmp_path / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_script_that_pushes_with_td_says_how_to_set_secrets(tmp_path: Path, bin_folder: Path, folder: Path) -> None:
    environ = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    ran = children.run([ROOT / "scripts" / "push", "my audiences", folder], env=environ)
    assert ran.returncode == 0, ran.stderr
    assert read_calls(tmp_path) == ["td wf push my audiences"]
    program = f"{ROOT}/scripts/td-pinterest"
    assert ran.stdout.splitlines()[-1] == (
        f"my audiences is pushed. `{program} authorize --to td 'my audiences'` sets its secrets for Pinterest; "
        f"`{program} doctor --project 'my audiences'` names those that it lacks"
    )
    assert "DIGDAG_ENDPOINT" not in ran.stderr
    names = (tmp_path / "names").read_text().split()
    assert {"mine.dig", "td_pinterest_op", "backoff"} < set(names)
    assert [path.name for path in folder.iterdir()] == ["mine.dig"]
    assert not Path((tmp_path / "copy").read_text().strip()).exists()


@pytest.mark.parametrize(
    ("endpoint", "options", "server"),
    [(SERVER, f" -e {SERVER}", SERVER), ("", "", "http://127.0.0.1:65432")],
)
@pytest.mark.parametrize("has_line", [True, False])
def test_push_to_a_server_asks_for_no_token_and_names_a_missing_address(
    push: Push,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    options: str,
    server: str,
    has_line: bool,
) -> None:
    monkeypatch.setenv("DIGDAG_ENDPOINT", endpoint)
    workflow = folder / "mine.dig"
    workflow.write_text(f"{workflow.read_text()}    {'' if has_line else '# '}DIGDAG_ENDPOINT: {SERVER}\n")
    ran = push("--with", "digdag")
    assert ran.code == 0, ran.err
    assert read_calls(tmp_path) == [f"digdag push audiences{options}"]
    assert ran.out.endswith(f"`td-pinterest authorize --to server {server} audiences` sets its secrets for Pinterest\n")
    assert ("No `_env` has a line DIGDAG_ENDPOINT" in ran.err) != has_line


def test_push_refuses_a_folder_without_a_workflow(push: Push, tmp_path: Path, folder: Path) -> None:
    (folder / "mine.dig").unlink()
    ran = push()
    assert (ran.code, read_calls(tmp_path)) == (1, [])
    assert ran.err.endswith("bundle`. Nothing was pushed\n")
    assert "bundle has no workflow: make a project folder with" in ran.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pinterest.env", "export TD_API_KEY='1/s3cr3t'\n"),
        ("config/token.txt", f"pinr.{MARKER}-{'a' * 20}\n"),
        ("notes.md", f"curl -H 'Authorization: TD1 1234/{'0' * 40}'\n"),
    ],
)
def test_push_stops_at_a_credential_in_the_folder(
    push: Push, tmp_path: Path, folder: Path, name: str, text: str
) -> None:
    (folder / "config").mkdir()
    (folder / ".hidden.env").write_text(text)
    (folder / "run.sh").write_text("TD_API_KEY=$KEY td wf run\n")
    (folder / name).write_text(text)
    ran = push()
    assert (ran.code, read_calls(tmp_path)) == (1, [])
    assert "correct them first. Nothing was pushed\n" in ran.err
    assert ran.err.count("which everybody who can read the project would see") == 1
    assert f"{folder}/{name}: it " in ran.err


def test_push_finds_the_values_of_an_env_file_in_the_folder(push: Push, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "env").write_text(f"PINTEREST_CLIENT_SECRET={MARKER}/value\n")
    (tmp_path / "env").chmod(0o600)
    (folder / "notes").write_text(f"{MARKER}%2Fvalue")
    assert (push().code, len(read_calls(tmp_path))) == (0, 1)
    ran = push("--env-file", tmp_path / "env")
    assert (ran.code, len(read_calls(tmp_path))) == (1, 1)
    assert f"{folder}/notes: it contains one of your credentials, which everybody" in ran.err


@pytest.mark.parametrize(("signal", "code"), [("INT", 130), ("TERM", 143)])
def test_push_that_is_stopped_removes_its_copy_and_ends_what_it_started(
    push: Push, tmp_path: Path, bin_folder: Path, signal: str, code: int
) -> None:
    os.mkfifo(tmp_path / "pipe")
    end = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    # The program starts another, as td starts java.
    (bin_folder / "td").write_text(
        f"#!/bin/sh\npwd > {tmp_path}/copy\nexec 9> {tmp_path}/pipe\n(sleep 60; echo still here >&9) &\n"
        f"kill -{signal} $PPID\nwait\n"
    )
    ran = push()
    assert ran.code == code
    assert f"was stopped (SIG{signal}). Whether audiences was pushed is not known: push it again" in ran.err
    assert not Path((tmp_path / "copy").read_text().strip()).exists()
    os.set_blocking(end, True)
    with os.fdopen(end) as pipe:  # which ends with all that can write to it
        assert pipe.read() == ""


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_push_that_is_stopped_before_it_sends_leaves_nothing(
    push: Push, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, signal: str
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))

    def stop(*_: object) -> None:
        children.run(["kill", f"-{signal}", str(os.getpid())])

    monkeypatch.setattr("td_pinterest_op.cli.project_copy.check_workflow", stop)
    assert f"the run was stopped (SIG{signal}). Nothing was pushed" in push().err
    assert (read_calls(tmp_path), list((tmp_path / "tmp").iterdir())) == ([], [])


def test_failed_push_of_digdag_or_td_is_an_error(push: Push, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("4")
    assert "error: the push of audiences failed, as said above" in push().err


def test_push_stops_for_errors(push: Push, tmp_path: Path, folder: Path) -> None:
    (folder / "mine.dig").write_text(OWN.replace("queries/people.sql", "none.sql"))
    ran = push()
    assert (ran.code, read_calls(tmp_path)) == (1, [])
    assert "mine.dig:5: value: query: there is no file none.sql" in ran.err
    assert "bundle has errors, which are named above: correct them first. Nothing was pushed" in ran.err


def test_push_without_td_and_digdag_is_an_error(
    push: Push, tmp_path: Path, bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bin_folder / "td").unlink()
    ran = push("--with", "td")
    assert (ran.code, "there is no td command on the PATH" in ran.err) == (1, True), ran.err
    (bin_folder / "digdag").unlink()
    monkeypatch.setenv("PATH", str(bin_folder))
    assert "there is neither td nor digdag on the PATH" in push().err
    assert read_calls(tmp_path) == []


def test_push_of_a_built_in_connector_task_succeeds_with_a_warning(push: Push, folder: Path) -> None:
    (folder / "mine.dig").write_text(CONNECTOR)
    ran = push()
    assert (ran.code, "mine.dig:5: built-in-connector: " in ran.err) == (0, True), ran.err
