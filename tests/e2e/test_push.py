"""`td-pinterest push`: updates, checks and pushes with td or digdag, and names the secrets that are missing."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests import children
from tests.e2e.project import ROOT
from tests.emulators.pinterest.tokens import MARKER
from tests.unit.cli.lint.samples import CONNECTOR, OWN, plant

AUTHORIZE = f"{ROOT}/scripts/td-pinterest authorize"
NEEDED = ("td.apikey", "pinterest.client_id", "pinterest.client_secret", "pinterest.refresh_token")


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder with commands td and digdag that record their calls and list the secrets of a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "secrets").write_text("")
    (tmp_path / "code").write_text("0")
    for name in ("td", "digdag"):
        command = folder / name
        command.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\n'
            f'case "$*" in *secrets*) cat {tmp_path}/secrets ;;\n'
            f"*) pwd >> {tmp_path}/folder; echo sending; exit $(cat {tmp_path}/code) ;; esac\n"
        )
        command.chmod(0o755)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project folder with one workflow of the user's own."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    lines = [f"    V{number}: ${{secret:{name}}}\n" for number, name in enumerate(NEEDED)]
    (folder / "mine.dig").write_text("timezone: UTC\n+a:\n  py>: mine.Mine\n  _env:\n" + "".join(lines))
    return folder


def run_push(
    bin_folder: Path, *arguments: str, project: str = "audiences", **environ: str
) -> subprocess.CompletedProcess[str]:
    return children.run(
        [ROOT / "scripts" / "push", *arguments, project, bin_folder.parent / "bundle"],
        env=os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"} | environ,
    )


def read_calls(bin_folder: Path) -> list[str]:
    file = bin_folder.parent / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_push_with_td_names_the_missing_secrets(bin_folder: Path, folder: Path) -> None:
    (bin_folder.parent / "secrets").write_text("td.apikey\npinterest.client_id\n")
    ran = run_push(bin_folder, project="my audiences")
    assert ran.returncode == 0, ran.stderr
    assert read_calls(bin_folder) == ["td wf push my audiences", "td wf secrets --project my audiences"]
    assert (bin_folder.parent / "folder").read_text().strip() == str(folder)
    assert "lacks these secrets: pinterest.client_secret, pinterest.refresh_token\n" in ran.stdout
    assert ran.stdout.splitlines()[-2:] == ["Set them:", f"  {AUTHORIZE} --to td 'my audiences'"]
    assert "DIGDAG_ENDPOINT" not in ran.stderr
    assert [path.name for path in folder.glob("*.dig")] == ["mine.dig"]
    assert (folder / "td_pinterest_op" / "export.py").exists()


def test_push_with_digdag_reports_a_complete_project_of_the_server_in_the_environment(
    bin_folder: Path, folder: Path
) -> None:
    (bin_folder.parent / "secrets").write_text("\n".join(NEEDED) + "\n")
    ran = run_push(bin_folder, "--with", "digdag", DIGDAG_ENDPOINT="https://digdag.example")
    assert ran.returncode == 0, ran.stderr
    assert read_calls(bin_folder) == [
        "digdag push audiences -e https://digdag.example",
        "digdag secrets --project audiences -e https://digdag.example",
    ]
    assert "has all secrets that its workflows use" in ran.stdout


@pytest.mark.parametrize(
    ("environ", "endpoint", "server"),
    [
        ({"DIGDAG_ENDPOINT": "https://digdag.example"}, ["-e", "https://digdag.example"], "https://digdag.example"),
        ({}, [], "http://127.0.0.1:65432"),
    ],
)
@pytest.mark.parametrize("has_line", [True, False])
def test_push_to_a_server_asks_for_no_token_and_names_a_missing_address(
    bin_folder: Path, folder: Path, environ: dict[str, str], endpoint: list[str], server: str, has_line: bool
) -> None:
    workflow = folder / "mine.dig"
    line = "DIGDAG_ENDPOINT: https://digdag.example\n"
    workflow.write_text(f"{workflow.read_text()}    {'' if has_line else '# '}{line}")
    ran = run_push(bin_folder, "--with", "digdag", **environ)
    assert ran.returncode == 0, ran.stderr
    secrets = ["digdag", "secrets", "--project", "audiences", *endpoint, "--set", "td.apikey"]
    assert ran.stdout.splitlines()[-2:] == [
        f"  {shlex.join(secrets)}",
        f"  {AUTHORIZE} --to server {server} audiences",
    ]
    assert ("No `_env` has a line DIGDAG_ENDPOINT" in ran.stderr) != has_line


def test_push_needs_no_secret_that_only_a_comment_names(bin_folder: Path, folder: Path) -> None:
    (folder / "mine.dig").write_text(
        "# ${secret:first}\n+a:\n  http>: '${secret:used.url}'\n  content: 'see #ops # ${secret: used.token }'\n"
    )
    ran = run_push(bin_folder)
    assert ran.returncode == 0, ran.stderr
    assert "lacks these secrets: used.token, used.url\n" in ran.stdout


def test_push_refuses_a_folder_without_a_workflow(bin_folder: Path, folder: Path) -> None:
    (folder / "mine.dig").unlink()
    ran = run_push(bin_folder)
    assert (ran.returncode, read_calls(bin_folder)) == (1, [])
    assert "bundle has no workflow: make a project folder with" in ran.stderr
    assert not (folder / "td_pinterest_op").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pinterest.env", "export TD_API_KEY='1/s3cr3t'\n"),
        ("config/token.txt", f"pinr.{MARKER}-{'a' * 20}\n"),
        ("notes.md", f"curl -H 'Authorization: TD1 1234/{'0' * 40}'\n"),
    ],
)
def test_push_stops_at_a_credential_in_the_folder(bin_folder: Path, folder: Path, name: str, text: str) -> None:
    (folder / "config").mkdir()
    (folder / ".hidden.env").write_text(text)
    (folder / "run.sh").write_text("TD_API_KEY=$KEY td wf run\n")
    (folder / name).write_text(text)
    ran = run_push(bin_folder)
    assert (ran.returncode, read_calls(bin_folder)) == (1, [])
    assert f"nothing was pushed. Move away {name};" in ran.stderr


def test_push_that_is_stopped_says_what_is_known(bin_folder: Path, folder: Path) -> None:
    (bin_folder / "td").write_text("#!/bin/sh\nkill -INT $PPID\nexec sleep 60\n")
    ran = run_push(bin_folder)
    assert ran.returncode == 130
    assert "was stopped (SIGINT). Whether audiences was pushed is not known: push it again" in ran.stderr


def test_push_that_fails_names_the_limits_of_servers(bin_folder: Path, folder: Path) -> None:
    (bin_folder.parent / "code").write_text("4")
    ran = run_push(bin_folder)
    said = "the push of audiences failed, as said above. If the folder is too large: hosted Treasure Workflow accepts"
    assert (ran.returncode, said in ran.stderr) == (1, True), ran.stderr


def test_push_stops_for_errors(bin_folder: Path, folder: Path) -> None:
    (folder / "mine.dig").write_text(plant(OWN, "queries/people.sql → none.sql"))
    ran = run_push(bin_folder)
    assert (ran.returncode, read_calls(bin_folder)) == (1, [])
    assert "mine.dig:5: value: query: there is no file none.sql" in ran.stderr
    assert "bundle has errors, which are named above: nothing was pushed" in ran.stderr


def test_push_without_a_command_pushes_nothing(bin_folder: Path, folder: Path) -> None:
    (bin_folder / "td").unlink()
    ran = run_push(bin_folder, "--with", "td")
    assert (ran.returncode, "there is no td command on the PATH" in ran.stderr) == (1, True), ran.stderr
    assert read_calls(bin_folder) == []


def test_push_needs_the_secrets_of_an_included_file(bin_folder: Path, folder: Path) -> None:
    (folder / "mine.dig").write_text("_error:\n  !include : alerts/mail.yaml\n+a: {echo>: a}\n")
    (folder / "alerts").mkdir()
    (folder / "alerts" / "mail.yaml").write_text("http>: ${secret:slack.webhook}\n")
    ran = run_push(bin_folder)
    assert "lacks these secrets: slack.webhook\n" in ran.stdout, ran.stderr


def test_push_with_the_built_in_connector_goes_on_without_a_list_of_secrets(bin_folder: Path, folder: Path) -> None:
    (bin_folder.parent / "secrets").unlink()
    (folder / "mine.dig").write_text(CONNECTOR)
    ran = run_push(bin_folder)
    assert (ran.returncode, "mine.dig:5: built-in-connector: " in ran.stderr) == (1, True), ran.stderr
    assert "audiences is pushed, but its secrets cannot be listed" in ran.stderr
