"""`td-pinterest doctor`: all green when all is well; each planted fault is named with its cure, and nothing else is."""

import json
import os
import shlex
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.cli import connection
from td_pinterest_op.cli.commands.doctor import check_proxy
from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.cli.doctor import treasure_data_checks
from td_pinterest_op.cli.secret_target import write_local_secret
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.task_runtime.digdag_secrets import DigdagServer
from tests.emulators.digdag_secrets import DigdagSecrets
from tests.emulators.pinterest import AD_ACCOUNT_ID, USER
from tests.emulators.server import free_port, serve
from tests.exporting import Services, people
from tests.unit.cli.running import Recorded, Terminal


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A healthy set-up, to plant one fault in."""

    services: Services
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    audience: str

    def env(self, name: str, value: str | None) -> None:
        if value is None:
            self.monkeypatch.delenv(name)
        else:
            self.monkeypatch.setenv(name, value)

    def switch(self, name: str, value: object) -> None:
        self.services.pinterest.switches.set({name: value})

    def refuse(self, path: str) -> None:
        self.services.pinterest.answer(403, path=path)


def run_checks(at_terminal: Terminal, *arguments: object) -> dict[str, dict[str, str]]:
    """The checks of `doctor --json`, by name. An error among them is the exit code 1."""
    ran = at_terminal("doctor", "--json", *arguments)
    result = json.loads(ran.out)
    assert all({"name", "status", "message", "advice"} == set(check) for check in result["checks"])
    has_error = any(check["status"] == "error" for check in result["checks"])
    assert (ran.code, result["ok"]) == (int(has_error), not has_error)
    return {check["name"]: check for check in result["checks"]}


@pytest.fixture
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def scene(
    at_terminal: Terminal, without_proxy: None, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Scene:
    """An audience of 200 people."""
    # The emulator uses a fake clock, but its Date header the machine's.
    audience = services.audience(people(200))
    monkeypatch.setenv("PINTEREST_AD_ACCOUNT_ID", AD_ACCOUNT_ID)
    monkeypatch.setenv("PINTEREST_AUDIENCE_ID", audience)
    return Scene(services=services, monkeypatch=monkeypatch, folder=tmp_path, audience=audience)


def test_a_good_setup_passes_all_checks_and_writes_nothing(
    at_terminal: Terminal, scene: Scene, compare_golden: Recorded
) -> None:
    compare_golden(at_terminal("doctor"), "doctor")
    assert scene.services.pinterest.calls.writes() == []


def set_clock_back(scene: Scene) -> None:
    late = Timing(now=lambda: time.time() - 3_600)
    scene.monkeypatch.setattr("td_pinterest_op.cli.doctor.pinterest_checks.SYSTEM_TIMING", late)


def close_pinterest(scene: Scene) -> None:
    scene.env("PINTEREST_API_ENDPOINT", f"http://127.0.0.1:{free_port()}/v5")
    scene.monkeypatch.setitem(connection._SHORT_WAIT_SETTINGS, "retry_count", 0)


def remove_audience(scene: Scene) -> None:
    scene.services.pinterest.audiences[scene.audience].removed = True


def set_trial_access(scene: Scene) -> None:
    scene.switch("ratelimit_limit_header", '300, 300;w=86400;name="trial"')


def use_other_audience_type(scene: Scene) -> None:
    scene.env("PINTEREST_AUDIENCE_ID", scene.services.pinterest.add_audience("Visitors", audience_type="VISITOR").id)


def shrink_audience(scene: Scene) -> None:
    scene.env("PINTEREST_AUDIENCE_ID", scene.services.audience(people(3), name="Few"))


def restrict_role_to_analyst(scene: Scene) -> None:
    accounts = scene.services.pinterest.accounts
    accounts[AD_ACCOUNT_ID] = replace(accounts[AD_ACCOUNT_ID], roles={USER.id: ("ANALYST",)})


def add_ad_accounts(scene: Scene) -> None:
    scene.env("PINTEREST_AD_ACCOUNT_ID", None)
    scene.services.pinterest.add_ad_account("549755885176", name="Another")


# How to plant the fault (a variable's value or a function); the check, its status, message and advice.
FAULTS: list[tuple[tuple[str, str | None] | Callable[[Scene], object], str, str, str, str]] = [
    (("PINTEREST_CLIENT_ID", None), "credentials", "error", "PINTEREST_CLIENT_ID not found", "authorize"),
    (("TD_API_KEY", None), "treasure_data", "error", "TD_API_KEY not found", "digdag secrets --local"),
    (("TD_API_SERVER", "http://td.example/"), "endpoints", "error", "must be an https address", "correct the var"),
    (("HTTPS_PROXY", "socks5h://proxy:1080"), "proxy", "error", "HTTPS_PROXY or ALL_PROXY is not", "HOST:PORT"),
    (
        ("PINTEREST_CLIENT_ID", "12-s3cr3t"),
        "token",
        "error",
        "401",
        "PINTEREST_CLIENT_ID or PINTEREST_CLIENT_SECRET (found: the env",
    ),
    (
        ("PINTEREST_CLIENT_SECRET", "s3cr3t"),
        "token",
        "error",
        "401",
        "PINTEREST_CLIENT_ID or PINTEREST_CLIENT_SECRET (found: the env",
    ),
    (("PINTEREST_REFRESH_TOKEN", "pinr.other-s3cr3t"), "token", "error", "401 (code 283)", "`unset PINTEREST_REFRESH_"),
    (("PINTEREST_AD_ACCOUNT_ID", "123456"), "ad_account", "error", "cannot read ad account 123456", "correct the id"),
    (("PINTEREST_AUDIENCE_ID", "99"), "audience", "error", "there is no audience 99", "td-pinterest audiences"),
    (("PINTEREST_AUDIENCE_ID", None), "audience", "warning", "no audience is named", "PINTEREST_AUDIENCE_ID"),
    (("TD_API_KEY", "1/other-s3cr3t"), "treasure_data", "error", "[the key is from the environment]", "TD_API_SERVER"),
    (lambda scene: scene.switch("scope", "ads:read"), "scopes", "error", "lacks the scope ads:write", "authorize"),
    (lambda scene: scene.switch("scope", "ads:write"), "scopes", "error", "lacks the scope ads:read", "authorize"),
    (lambda scene: scene.services.time.sleep(55 * 86_400), "token_days", "warning", "expires in 5 days", "authorize"),
    (set_clock_back, "clock", "error", " s behind", "set the clock"),
    (set_trial_access, "tier", "warning", "trial access: 300 requests a day, about 3,000,000 people", "Upgrade"),
    (restrict_role_to_analyst, "role", "warning", "ANALYST", "AUDIENCE_MANAGER"),
    (close_pinterest, "token", "error", "no response from Pinterest", ""),
    (use_other_audience_type, "audience", "error", "is of type VISITOR", "td-pinterest audiences"),
    (remove_audience, "audience", "error", "was removed", "td-pinterest audiences"),
    (shrink_audience, "audience", "warning", "TOO_SMALL, size 3", "export more people"),
    (lambda scene: scene.refuse("/ad_accounts$"), "ad_account", "error", "403", ""),
    (add_ad_accounts, "ad_account", "error", '549755885175 "Emulated ad account", 549755885176', "--ad-account"),
    (lambda scene: scene.switch("processing_seconds", 3_600.0), "audience", "warning", "INITIALIZING", "look again"),
]


@pytest.mark.parametrize(("plant", "name", "status", "said", "cure"), FAULTS)
def test_a_planted_fault_is_reported_with_its_cure_and_no_other_check_fails(
    at_terminal: Terminal, scene: Scene, plant: Any, name: str, status: str, said: str, cure: str
) -> None:
    if callable(plant):
        plant(scene)
    else:
        scene.env(*plant)
    checks = run_checks(at_terminal)
    assert [name] == [each for each, check in checks.items() if check["status"] != "ok" and not is_skipped(check)]
    assert checks[name]["status"] == status
    assert said in checks[name]["message"]
    assert cure in f"{checks[name]['message']} {checks[name]['advice']}"


def is_skipped(check: dict[str, str]) -> bool:
    """Return whether a check was skipped because of another fault. A missing audience is a fault itself."""
    return check["message"].startswith("not checked") and "is named" not in check["message"]


def test_doctor_prints_an_audience_name_without_its_control_characters(at_terminal: Terminal, scene: Scene) -> None:
    name = "Sh\x1b[31mop\u202e\nper"
    ran = at_terminal("doctor", "--audience", scene.services.audience(people(200), name=name))
    assert '"Sh\\x1b[31mop\\u202e\\nper": READY' in ran.out


@pytest.mark.parametrize(
    ("place", "advice"),
    [("local", "run `td-pinterest authorize`"), ("file", "run `td-pinterest authorize --to file {file}`")],
)
def test_advice_about_a_rejected_token_depends_on_where_it_is_stored(
    at_terminal: Terminal, scene: Scene, place: str, advice: str
) -> None:
    scene.env("PINTEREST_REFRESH_TOKEN", None)
    file = scene.folder / "my secrets.env"
    file.touch(0o600)
    if place == "file":
        file.write_text("PINTEREST_REFRESH_TOKEN=pinr.other-s3cr3t")
    else:
        write_local_secret("pinterest.refresh_token", Secret("pinr.other-s3cr3t"), os.environ)
    token = run_checks(at_terminal, "--env-file", file)["token"]
    assert token["status"] == "error"
    assert token["advice"].startswith(advice.format(file=shlex.quote(str(file))))


@pytest.mark.parametrize(
    ("secrets", "status", "said"),
    [
        (SECRETS_BY_VARIABLE.values(), None, "project pinterest_export has all secrets"),
        (["td.apikey", "pinterest.client_id"], None, "lacks the secrets pinterest.client_secret, pinterest.refresh_"),
        ([], 403, "the workflow server answered 403 about project pinterest_export and its secrets"),
    ],
)
def test_doctor_reads_the_names_of_a_projects_secrets(
    at_terminal: Terminal, scene: Scene, secrets: Collection[str], status: int | None, said: str
) -> None:
    project = DigdagSecrets()
    for name in secrets:
        project.set_secret(name, "s3cr3t")
    with serve(project.app()) as url:
        server = DigdagServer(url=url, authorization=Secret(""))
        scene.monkeypatch.setattr(treasure_data_checks, "find_hosted_server", lambda _: server)
        if status:
            project.fail(status)
        check = run_checks(at_terminal, "--project", "pinterest_export")["project"]
    assert said in check["message"]
    assert ("View and Edit" in check["advice"]) == bool(status)


def test_doctor_says_why_it_does_not_know_the_workflow_server(at_terminal: Terminal, scene: Scene) -> None:
    check = run_checks(at_terminal, "--project", "pinterest_export")["project"]
    assert "TD_API_SERVER names no region of Treasure Data, so the address of its workflow server" in check["message"]


def test_audience_name_in_place_of_an_id_is_wrong_usage_of_doctor(at_terminal: Terminal, scene: Scene) -> None:
    assert at_terminal("doctor", "--audience", "Shoppers").failed("PINTEREST_AUDIENCE_ID must be an id", code=2)


def test_refresh_token_of_unknown_expiry_passes_the_check(at_terminal: Terminal, scene: Scene) -> None:
    scene.services.pinterest.switches.token_expiry_fields = False
    check = run_checks(at_terminal)["token_days"]
    assert (check["status"], check["message"]) == ("ok", "Pinterest does not say how long the refresh token lasts")


@pytest.mark.usefixtures("without_proxy")
def test_proxy_is_shown_without_its_password_and_one_for_socks_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://[::1]:1080/")
    assert check_proxy().status == "error"
    monkeypatch.setenv("https_proxy", "http://me:s3cr3t@proxy.test:3128")
    check = check_proxy()
    assert (check.status, "proxy.test:3128" in check.message, "s3cr3t" in check.message) == ("ok", True, False)
