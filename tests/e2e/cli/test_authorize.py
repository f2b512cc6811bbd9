"""`td-pinterest authorize`: consent, by a redirect and by pasting; every way in which it can fail; where secrets go."""

import json
import os
import re
import signal
import socket
import stat
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from td_pinterest_op.cli import screen
from td_pinterest_op.cli.secret_target import write_local_secret
from td_pinterest_op.redaction.secret import Secret
from tests import children, guard
from tests.emulators.pinterest import AD_ACCOUNT_ID, USER, Answer, Call, Fault
from tests.exporting import Services
from tests.unit.cli.running import Ran, Recorded, Terminal

Authorize = Callable[..., Ran]
STORED = frozenset({"pinterest.client_id", "pinterest.client_secret", "pinterest.refresh_token"})


def answer_consent(link: str, *, decision: str = "approve", follow: bool = True) -> str:
    """Answer the consent page as a person does, and return the address to which Pinterest redirects."""
    page, _, query = link.partition("?")
    form = dict(urllib.parse.parse_qsl(query)) | {"user_id": USER.id, "decision": decision}
    answer = requests.post(page, data=form, allow_redirects=False, timeout=10)
    target = answer.headers.get("Location", "")
    if follow and target:
        # A log record of requests would hold the code, which a browser keeps to itself.
        with urllib.request.urlopen(target, timeout=10) as page:
            assert page.status == 200
    return target


@pytest.fixture
def authorize(at_terminal: Terminal, redirect: str, monkeypatch: pytest.MonkeyPatch) -> Authorize:
    """Runs the command for somebody who has no refresh token yet; `act` is what the person at the browser does."""
    monkeypatch.delenv("PINTEREST_REFRESH_TOKEN")

    def run(*arguments: object, act: Callable[[str], object] = answer_consent) -> Ran:
        monkeypatch.setattr("webbrowser.open", lambda link: threading.Thread(target=act, args=(link,)).start())
        return at_terminal("authorize", "--redirect", redirect, "--yes", *arguments)

    return run


def local_secrets_folder(tmp_path: Path) -> Path:
    return tmp_path / "digdag" / "secrets"


def test_consent_stores_the_three_secrets_readable_by_their_owner_only(
    authorize: Authorize, tmp_path: Path, compare_golden: Recorded
) -> None:
    os.umask(0o022)
    compare_golden(authorize("--to", "local"), "authorize")
    folder = local_secrets_folder(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {file.name for file in folder.iterdir()} == STORED
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


OLD = "pinr.s3cr3t-old"
UNSET = "unset PINTEREST_REFRESH_TOKEN"
DELETE = "digdag secrets --local --delete pinterest.refresh_token"


@pytest.mark.parametrize(("kind", "delete"), [("local", UNSET), ("file", UNSET), ("file", DELETE)])
def test_an_older_token_that_commands_find_first_is_reported_with_how_to_delete_it(
    authorize: Authorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, delete: str
) -> None:
    if delete == UNSET:
        monkeypatch.setenv("PINTEREST_REFRESH_TOKEN", OLD)
    write_local_secret("pinterest.refresh_token", Secret(OLD), os.environ)
    file = [tmp_path / "secrets.env"] if kind == "file" else []
    ran = authorize("--to", kind, *file)
    assert "Commands find the older refresh token in the " in ran.err
    assert ran.err.endswith(f" before this one. Delete it: `{delete}`.\n")


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 130)])
def test_user_and_ad_accounts_are_shown_before_the_token_is_stored(
    at_terminal: Terminal,
    authorize: Authorize,
    redirect: str,
    type_input: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr(screen, "is_interactive", lambda: True)
    monkeypatch.setattr("webbrowser.open", lambda link: threading.Thread(target=answer_consent, args=(link,)).start())
    type_input(f"{answer}\n" if answer else "")
    ran = at_terminal("authorize", "--redirect", redirect)
    assert ran.code == code
    shown = ran.err.index('Approved by: "emulated". Ad accounts: 549755885175 "Emulated ad account"')
    assert shown < ran.err.index("Store the token of this user? [y/N]")
    assert local_secrets_folder(tmp_path).exists() == (code == 0)


def test_authorize_escapes_control_characters_in_the_names_that_it_shows(
    authorize: Authorize, services: Services
) -> None:
    account = services.pinterest.accounts[AD_ACCOUNT_ID]
    owner = replace(account.owner, username='a\x1b[2K\n"\u202eb')
    services.pinterest.accounts[AD_ACCOUNT_ID] = replace(account, owner=owner, name="Sh\x9bop")
    ran = authorize()
    said = r'Approved by: "a\x1b[2K\n"\u202eb". Ad accounts: 549755885175 "Sh\x9bop"'
    assert said in ran.err.splitlines()
    assert r'user       a\x1b[2K\n"\u202eb' in ran.out.splitlines()


def test_without_a_terminal_to_ask_at_the_browser_is_not_opened(at_terminal: Terminal, redirect: str) -> None:
    assert at_terminal("authorize", "--redirect", redirect).failed("use --yes to continue", code=2)


def test_json_output_holds_the_account_and_no_token(authorize: Authorize) -> None:
    result = json.loads(authorize("--json").out)
    assert result["scopes"] == ["ads:read", "ads:write"]
    assert set(result) == {"stored_in", "user", "scopes", "expires", "ad_accounts"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result["expires"])
    assert result["user"] == "emulated"


def test_an_invalid_refresh_token_is_replaced(authorize: Authorize, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINTEREST_REFRESH_TOKEN", "b4d s3cr3t token")
    assert authorize().code == 0


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("", "this is not the address to which Pinterest redirects"),
        ("http://localhost:8085/?code=1&state=other", "belongs to another attempt"),
        ("http://[localhost/?code=1", "belongs to another attempt"),
    ],
)
def test_a_pasted_text_that_is_not_the_redirect_is_an_error(
    authorize: Authorize, type_input: Callable[[str], None], pasted: str, said: str, tmp_path: Path
) -> None:
    type_input(f"{pasted}\n" if pasted else "")
    assert authorize("--no-browser").failed(said)
    assert not local_secrets_folder(tmp_path).exists()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            lambda link: answer_consent(link, decision="refuse"),
            "the app was not approved on Pinterest's page (access_denied): nothing was stored",
        ),
        (
            lambda link: answer_consent(link.replace("%2Cads%3Awrite", "")),
            "the approval of the app lacks the scope ads:write",
        ),
        (None, "the client id is wrong, or the app does not have exactly the redirect address"),
    ],
)
def test_a_failed_consent_is_an_error_and_stores_nothing(
    authorize: Authorize, tmp_path: Path, act: Callable[[str], object] | None, said: str
) -> None:
    assert authorize("--timeout", 60 if act else 1, act=act or (lambda _: None)).failed(said)
    assert not local_secrets_folder(tmp_path).exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            Answer(status=401, code=283),
            "401 (code 283) to the request to exchange the code for a refresh token. The code was used before",
        ),
        (Answer(status=401, code=2), "Check client id and client secret"),
        (Answer(status=403), "Check client id and client secret"),
        (Answer(status=200, body='{"access_token": "s3cr3t-access"}'), "has no refresh token: run `td-pinterest auth"),
    ],
)
def test_a_code_that_brings_no_refresh_token_is_an_error_and_is_not_sent_again(
    authorize: Authorize, services: Services, tmp_path: Path, answer: Answer, said: str
) -> None:
    services.pinterest.inject(Fault(effect=answer, operation="oauth/token"))
    assert authorize().failed(said)
    assert [call.operation for call in services.pinterest.calls.all()].count("oauth/token") == 1
    assert not local_secrets_folder(tmp_path).exists()


@pytest.mark.parametrize("address", ["http://shop.test:8085/", "http://[localhost/"])
def test_redirect_address_of_another_machine_is_rejected(at_terminal: Terminal, address: str) -> None:
    said = f"the redirect address {address} is not on this machine: use http://localhost:PORT/"
    assert at_terminal("authorize", "--yes", "--redirect", address).failed(said)


def test_consent_page_without_encryption_on_another_machine_is_rejected(
    at_terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINTEREST_OAUTH_URL", "http://pinterest.test/oauth/")
    said = "PINTEREST_OAUTH_URL must be an https address (http is allowed only for this machine)"
    assert at_terminal("authorize", "--yes", "--no-browser").failed(said)


def test_a_failure_to_list_accounts_keeps_the_stored_token(
    authorize: Authorize, services: Services, tmp_path: Path
) -> None:
    services.pinterest.answer(403, path="/ad_accounts")
    ran = authorize()
    assert ran.code == 0
    assert "The user and the ad accounts cannot be shown now: " in ran.err
    assert "user       -\n" in ran.out
    assert (local_secrets_folder(tmp_path) / "pinterest.refresh_token").exists()


def test_redirect_with_a_wrong_state_is_ignored(authorize: Authorize, redirect: str) -> None:
    def forged_first(link: str) -> None:
        forged = requests.get(f"{redirect}?code=forged&state=guessed", timeout=10)
        assert (forged.status_code, "<p>This address belongs to another attempt" in forged.text) == (400, True)
        assert requests.get(f"{redirect}favicon.ico", timeout=10).status_code == 400
        answer_consent(link)

    assert authorize(act=forged_first).code == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_port_in_use_at_either_address_is_reported_before_the_browser_opens(
    authorize: Authorize, redirect: str, tmp_path: Path, address: str
) -> None:
    port = urllib.parse.urlsplit(redirect).port or 0
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family):
        ran = authorize(act=lambda _: pytest.fail("the browser was opened"))
    assert ran.failed(f"port {port} of {address}, to which Pinterest redirects (Address already in use)")
    assert not local_secrets_folder(tmp_path).exists()


def test_env_file_keeps_its_other_lines(authorize: Authorize, tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    file.write_text("# mine\nOTHER=1\nexport PINTEREST_CLIENT_ID=old\n")
    ran = authorize("--to", "file", file)
    assert ran.code == 0
    lines = file.read_text().splitlines()
    assert lines[:3] == ["# mine", "OTHER=1", "export PINTEREST_CLIENT_ID=1503921"]
    assert len(lines) == 5
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def write_td_command(folder: Path, script: str) -> str:
    """Write a td command, and return a PATH on which it is found first."""
    td = folder / "bin" / "td"
    td.parent.mkdir()
    td.write_text(f"#!/bin/sh\n{script}")
    td.chmod(0o755)
    return f"{td.parent}{os.pathsep}{os.environ['PATH']}"


def test_the_output_of_a_failed_td_command_is_shown_without_secrets(
    authorize: Authorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", write_td_command(tmp_path, 'echo "$*"; cat; exit 3'))
    ran = authorize("--to", "td", "pinterest_export")
    assert ran.failed("--project pinterest_export` failed (exit code 3): wf secrets --project pinterest_export")
    assert '"pinterest.refresh_token": "***"' in ran.err
    assert "its token was lost: run the command again" in ran.err


def test_a_token_of_a_project_is_not_compared_with_those_of_this_machine(
    authorize: Authorize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINTEREST_REFRESH_TOKEN", OLD)
    monkeypatch.setenv("PATH", write_td_command(tmp_path, "cat > /dev/null"))
    ran = authorize("--to", "td", "pinterest_export")
    assert (ran.code, "older refresh token" in ran.err) == (0, False), ran.err


# A td that prints a message, waits for a line from the terminal, and then stores its standard input.
_SLOW_TD = """
echo "$*" > {folder}/arguments
cat > {folder}/given
echo storing > $TERMINAL
read line < $TERMINAL
mv {folder}/given {folder}/stored
"""


def test_ctrl_c_lets_td_finish_which_gets_no_secret_as_an_argument(services: Services, tmp_path: Path) -> None:
    environ = {**os.environ, **services.environ, "DIGDAG_CONFIG_HOME": str(tmp_path / "digdag")}
    environ["PATH"] = write_td_command(tmp_path, _SLOW_TD.format(folder=tmp_path))
    del environ["PINTEREST_REFRESH_TOKEN"]

    def pasted(shown: str) -> str:
        link = next(line.strip() for line in shown.splitlines() if "response_type=code" in line)
        return answer_consent(link, follow=False) + "\n"

    command = [sys.executable, "-m", "td_pinterest_op", "authorize", "--no-browser", "--to", "td", "shop"]
    answers: dict[str, children.Typed] = {"press Enter:": pasted, "[y/N]": "y\n", "storing": "\x03", "^C": "\n"}
    shown, exit_code = children.run_at_terminal(command, answers=answers, env=environ)
    guard.check(shown.partition("storing")[2], "the terminal after the address that was pasted")
    text = " ".join(shown.split())
    assert exit_code == 130
    assert (tmp_path / "arguments").read_text() == "wf secrets --project shop --set @-\n"
    assert set(json.loads((tmp_path / "stored").read_text())) == STORED
    assert "The refresh token is stored in the secrets of the hosted workflow project shop." in text
    assert "the run was stopped (SIGINT)" in text


@pytest.mark.parametrize("operation", ["oauth/token", "ad_accounts/list"])
def test_a_signal_ends_authorize_with_one_sentence_and_stores_nothing(
    authorize: Authorize, services: Services, tmp_path: Path, operation: str
) -> None:
    def interrupt(call: Call) -> None:
        if call.operation == operation:
            os.kill(os.getpid(), signal.SIGTERM)

    services.pinterest.switches.latency_seconds = 0.1  # the answer comes later than the signal
    services.pinterest.on_request(interrupt)
    ran = authorize()
    assert ran.code == 128 + signal.SIGTERM
    assert [line[:28] for line in ran.err.splitlines() if line.startswith("error")] == ["error: the run was stopped ("]
    assert "Traceback" not in ran.err
    assert not local_secrets_folder(tmp_path).exists()
