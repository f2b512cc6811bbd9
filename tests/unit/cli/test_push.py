"""`td-pinterest push`: updates, checks and pushes with td or digdag, and says how to set the project's secrets."""

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
            f"pwd >> {tmp_path}/folder; echo sending; exit $(cat {tmp_path}/code)\n"
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
    assert (tmp_path / "folder").read_text().strip() == str(folder)
    program = f"{ROOT}/scripts/td-pinterest"
    assert ran.stdout.splitlines()[-1] == (
        f"my audiences is pushed. `{program} authorize --to td 'my audiences'` sets its secrets for Pinterest; "
        f"`{program} doctor --project 'my audiences'` names those that it lacks"
    )
    assert "DIGDAG_ENDPOINT" not in ran.stderr
    assert [path.name for path in folder.glob("*.dig")] == ["mine.dig"]
    assert (folder / "td_pinterest_op" / "export.py").exists()


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
    assert "bundle has no workflow: make a project folder with" in ran.err
    assert not (folder / "td_pinterest_op").exists()


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
    assert f"nothing was pushed. Move away {name};" in ran.err


def test_push_that_is_stopped_says_what_is_known(push: Push, bin_folder: Path, folder: Path) -> None:
    (bin_folder / "td").write_text("#!/bin/sh\nkill -INT $PPID\nexec sleep 60\n")
    ran = push()
    assert ran.code == 130
    assert "was stopped (SIGINT). Whether audiences was pushed is not known: push it again" in ran.err


def test_push_that_fails_says_so(push: Push, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("4")
    assert "error: the push of audiences failed, as said above" in push().err


def test_push_stops_for_errors(push: Push, tmp_path: Path, folder: Path) -> None:
    (folder / "mine.dig").write_text(OWN.replace("queries/people.sql", "none.sql"))
    ran = push()
    assert (ran.code, read_calls(tmp_path)) == (1, [])
    assert "mine.dig:5: value: query: there is no file none.sql" in ran.err
    assert "bundle has errors, which are named above: nothing was pushed" in ran.err


def test_push_without_a_command_pushes_nothing(
    push: Push, tmp_path: Path, bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bin_folder / "td").unlink()
    ran = push("--with", "td")
    assert (ran.code, "there is no td command on the PATH" in ran.err) == (1, True), ran.err
    (bin_folder / "digdag").unlink()
    monkeypatch.setenv("PATH", str(bin_folder))
    assert "there is neither td nor digdag on the PATH" in push().err
    assert read_calls(tmp_path) == []


def test_push_with_the_built_in_connector_goes_on(push: Push, folder: Path) -> None:
    (folder / "mine.dig").write_text(CONNECTOR)
    ran = push()
    assert (ran.code, "mine.dig:5: built-in-connector: " in ran.err) == (0, True), ran.err
