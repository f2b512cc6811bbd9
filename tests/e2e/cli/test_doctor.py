"""`td-pinterest doctor`: all green when all is well; each planted fault is named with its cure, and nothing else is."""

import json
import os
import shlex
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
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
from tests.unit.cli.lint.samples import ACTIVATION, ENV, ERASE, MANY, STATUS, plant
from tests.unit.cli.running import Recorded, Terminal


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A healthy set-up, to plant one fault in."""

    services: Services
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    audience: str
    job: str
    workflow: Path

    def env(self, name: str, value: str | None) -> None:
        if value is None:
            self.monkeypatch.delenv(name)
        else:
            self.monkeypatch.setenv(name, value)

    def switch(self, name: str, value: object) -> None:
        self.services.pinterest.switches.set({name: value})

    def write_workflow(self, settings: str) -> Path:
        """Write a workflow with one export with these settings, and return its path."""
        whole = f'type: pinterest\nad_account_id: "{AD_ACCOUNT_ID}"\naudience_type: customer_list\n{settings}\n'
        if "audience_" not in settings:
            whole += f"audience_id: '{self.audience}'\n"
        export = (
            "+export:\n  py>: td_pinterest_op.export.PinterestExport\n  query: SELECT * FROM people\n  database: shop\n"
        )
        self.workflow.write_text(f"{export}  result_settings:\n{indent(whole, '    ')}{ENV}")
        return self.workflow

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
    """An audience of 200 people, a good job and a good workflow."""
    # The emulator uses a fake clock, but its Date header the machine's.
    audience = services.audience(people(200))
    job = services.job(people(1_500))
    monkeypatch.setenv("PINTEREST_AD_ACCOUNT_ID", AD_ACCOUNT_ID)
    monkeypatch.setenv("PINTEREST_AUDIENCE_ID", audience)
    workflow = tmp_path / "good.dig"
    workflow.write_text("+done:\n  echo>: done\n")
    return Scene(
        services=services, monkeypatch=monkeypatch, folder=tmp_path, audience=audience, job=job, workflow=workflow
    )


def test_a_good_setup_passes_all_checks_and_writes_nothing(
    at_terminal: Terminal, scene: Scene, compare_golden: Recorded
) -> None:
    compare_golden(at_terminal("doctor", "--job", scene.job, "--workflow", scene.workflow), "doctor")
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
    (lambda scene: scene.workflow.write_text("+a:\n\tb: c\n"), "workflow", "error", "there is a tab here", "check"),
]


@pytest.mark.parametrize(("plant", "name", "status", "said", "cure"), FAULTS)
def test_a_planted_fault_is_reported_with_its_cure_and_no_other_check_fails(
    at_terminal: Terminal, scene: Scene, plant: Any, name: str, status: str, said: str, cure: str
) -> None:
    if callable(plant):
        plant(scene)
    else:
        scene.env(*plant)
    checks = run_checks(at_terminal, "--workflow", scene.workflow)
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


_EMAIL = ("email", "varchar")


@pytest.mark.parametrize(
    ("column", "values", "status", "said"),
    [
        (("mail", "varchar"), ["a@b.example"], "error", '"mail" is not an identifier'),
        (("email", "bigint"), [1], "error", "cast it to varchar"),
        (
            _EMAIL,
            ["nobody"] * 3,
            "error",
            "3 of 3 values in 3 rows invalid (not_an_email 3); the first in rows 1, 2, 3: there is no valid record",
        ),
        (_EMAIL, [], "warning", "has no rows"),
        (
            _EMAIL,
            ["e" * 64, "nobody", "n/a", "nobody"],
            "warning",
            "among the first 4: 3 (not_an_email 2, placeholder 1); 1 values look hashed already "
            "`td-pinterest explain not_an_email` explains the invalid rows, with SQL that finds them; a policy of",
        ),
    ],
)
def test_doctor_checks_the_rows_of_a_job(
    at_terminal: Terminal, scene: Scene, column: tuple[str, str], values: list[Any], status: str, said: str
) -> None:
    job = scene.services.td.add_job(columns=[column], rows=[(value,) for value in values])
    checks = run_checks(at_terminal, "--job", job)
    assert [name for name, check in checks.items() if check["status"] != "ok"] == ["rows"]
    assert checks["rows"]["status"] == status
    assert said in f"{checks['rows']['message']} {checks['rows']['advice']}"


_ACTION = "action: add_people_to_current_audience\n"
_SKIP = "ignore_invalid_records: true\n"
_GOOD = ["a@b.example", "b@b.example"]


@pytest.mark.parametrize(
    ("settings", "rows", "status", "said"),
    [
        ("expect_values: plain", ["e" * 64], "error", "1 of 1 valid values are not"),
        ("control: {percent: 10, salt: s, by: nr}", _GOOD, "error", "which `control` names"),
        ("", [*_GOOD, "nobody"], "error", "3 rows checked: an export would stop: 1 of 3 values in 3 rows invalid"),
        ("ignore_error: true", [*_GOOD, "nobody"], "warning", "first 3: 1 (not_an_email 1)"),
        ("", [], "error", "0 rows checked: an export would stop: there is no valid record to send (0 rows read"),
        ("allow_empty: true", [], "warning", "has no rows"),
        ("min_records: 1001", _GOOD * 501, "ok", "invalid rows among the first 1,000: 0"),
        (_SKIP, ["x"] * 1000 + _GOOD, "warning", "first 1,000: 1,000 (not_an_email 1,000)"),
        (_SKIP, [None] * 2, "error", "there is no valid record to send"),
        ("columns: {email: phone}\nrecords: rows\ndefault_country: DE", ["030 901820"], "ok", "first 1: 0"),
    ],
)
def test_doctor_judges_rows_by_the_settings_of_a_workflow_as_an_export_does(
    at_terminal: Terminal, scene: Scene, settings: str, rows: list[str | None], status: str, said: str
) -> None:
    job = scene.services.td.add_job(columns=[_EMAIL], rows=[(row,) for row in rows])
    workflow = scene.write_workflow(_ACTION + settings)
    check = run_checks(at_terminal, "--job", job, "--workflow", workflow)["rows"]
    assert check["status"] == status, check
    assert said in check["message"]


@pytest.mark.parametrize("several", [False, True])
def test_rows_stop_no_export_if_only_a_run_knows_the_setting_or_several_exports_have_it(
    at_terminal: Terminal, scene: Scene, several: bool
) -> None:
    workflow = scene.write_workflow(_ACTION if several else f"{_ACTION}ignore_invalid_records: '${{skip}}'")
    if several:
        workflow.write_text(f"{workflow.read_text()}+second:{workflow.read_text().partition('+export:')[2]}")
    job = scene.services.td.add_job(columns=[_EMAIL], rows=[("a@b.example",), ("nobody",)])
    assert run_checks(at_terminal, "--job", job, "--workflow", workflow)["rows"]["status"] == "warning"


def test_doctor_checks_the_account_and_the_audience_that_a_workflow_names(at_terminal: Terminal, scene: Scene) -> None:
    few = scene.services.audience(people(3), name="Few")
    workflow = scene.write_workflow(f"{_ACTION}audience_id: '{few}'")
    assert f'audience: {few} "Few": TOO_SMALL' in at_terminal("doctor", "--workflow", workflow).out
    workflow.write_text(workflow.read_text().replace(f'"{AD_ACCOUNT_ID}"', '"7"'))
    assert "the token cannot read ad account 7" in at_terminal("doctor", "--workflow", workflow).out


@pytest.mark.parametrize(
    ("settings", "status", "message"),
    [
        ("action: create_new_audience\naudience_name: Spring", "ok", 'names its audience "Spring", which is new'),
        ("action: create_new_audience\naudience_name: Few", "error", "it fails, because it is to create it"),
        (
            "action: create_new_audience\naudience_name: Twice\nif_exists: add",
            "error",
            'names its audience "Twice", id',
        ),
        (f"{_ACTION}audience_id: ${{t.audience_id}}", "error", "the workflow names no audience"),
        (f"{_ACTION}audience_id: FEW\nexpected_audience_name: Many", "error", 'expected_audience_name is "Many"'),
        (f"{_ACTION}audience_id: FEW\nexpected_audience_name: ' Few'", "warning", "TOO_SMALL"),
        (f"{_ACTION}audience_id: ${{only.a.run.knows}}", "ok", '"Shoppers": READY'),
    ],
)
def test_doctor_judges_the_audience_of_a_workflow_as_a_run_does(
    at_terminal: Terminal, scene: Scene, settings: str, status: str, message: str
) -> None:
    few = scene.services.audience(people(3), name="Few")
    for _ in range(2):
        scene.services.audience(name="Twice")
    workflow = scene.write_workflow(settings.replace("FEW", f"'{few}'"))
    workflow.write_text("_export: {t: {audience_id: ''}}\n" + workflow.read_text())
    check = run_checks(at_terminal, "--workflow", workflow)["audience"]
    assert (check["status"], message in check["message"]) == (status, True), check


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (ERASE, []),
        (ACTIVATION, []),
        (STATUS, ["audience 2", "audience 3"]),
        ("+a: {py>: td_pinterest_op.history.Lift, lift: {percent: 5}, audience_id: '4'}\n", ["audience"]),
    ],
)
def test_doctor_checks_no_audience_but_those_of_the_workflow(
    at_terminal: Terminal, scene: Scene, text: str, named: list[str]
) -> None:
    scene.workflow.write_text(text.replace('"1"', f"'{AD_ACCOUNT_ID}'"))
    checks = run_checks(at_terminal, "--workflow", scene.workflow)
    assert [name for name in checks if name.startswith("audience")] == named


def test_doctor_names_the_file_of_what_is_wrong_in_a_workflow(at_terminal: Terminal, scene: Scene) -> None:
    included = scene.workflow.with_name("common.yml")
    included.write_text("a: b\n\tc: d\n")
    scene.workflow.write_text("_export:\n  !include : common.yml\n")
    message = run_checks(at_terminal, "--workflow", scene.workflow)["workflow"]["message"]
    assert message == f"1 finding; {included}:2: yaml: there is a tab here, where YAML allows none: indent with spaces"


@pytest.mark.parametrize(("removed", "status"), [(False, "ok"), (True, "error")])
def test_status_of_any_audience_that_is_not_removed_can_be_read(
    at_terminal: Terminal, scene: Scene, removed: bool, status: str
) -> None:
    visitors = scene.services.pinterest.add_audience("Visitors", audience_type="VISITOR")
    visitors.removed = removed
    scene.workflow.write_text(STATUS.replace('"1"', f"'{AD_ACCOUNT_ID}'").replace("2, 3", visitors.id))
    assert run_checks(at_terminal, "--workflow", scene.workflow)["audience"]["status"] == status


def test_doctor_checks_each_audience_of_a_list(at_terminal: Terminal, scene: Scene) -> None:
    entries = "".join(
        f"  - {{name: a{audience}, ad_account_id: '{AD_ACCOUNT_ID}', action: clear, audience_id: '{audience}'}}\n"
        for audience in (scene.audience, "99")
    )
    scene.workflow.write_text(plant(MANY, f"{MANY[MANY.index('  - {') : MANY.index('+export')]} → {entries}"))
    checks = run_checks(at_terminal, "--workflow", scene.workflow)
    statuses = {name: check["status"] for name, check in checks.items() if name.startswith("audience")}
    assert statuses == {f"audience {scene.audience}": "ok", "audience 99": "error"}


def _permissions(*granted: str) -> dict[str, bool]:
    return {name: name in granted for name in ("edit", "delete", "query", "import", "download")}


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ({"name": "shop", "database_permissions": _permissions("edit", "query", "download")}, "enough on shop"),
        ({"name": "shop", "permission": "full_access"}, "enough on shop"),
        ({"name": "shop", "database_permissions": _permissions("query")}, "lacks Download and Edit on database shop"),
        ({"name": "shop", "permission": "query_only"}, "lacks Edit on database shop"),
        ({"name": "crm", "permission": "administrator"}, "there is no database shop, or the user may not see it"),
    ],
)
def test_doctor_names_each_permission_that_the_keys_user_lacks(
    at_terminal: Terminal, scene: Scene, database: dict[str, object], said: str
) -> None:
    listed = json.dumps({"databases": [database]})
    scene.services.td.answer(200, body=listed, path="/v3/database/list", times=None)
    workflow = scene.write_workflow(f"{_ACTION}history: runs")
    check = run_checks(at_terminal, "--workflow", workflow)["permissions"]
    assert said in check["message"]
    assert check["status"] == ("ok" if "enough" in said else "error")


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


def test_doctor_issues_no_statement_that_changes_anything(at_terminal: Terminal, scene: Scene) -> None:
    check = run_checks(at_terminal, "--query", "DROP TABLE people", "--database", "shop")["rows"]
    assert check["status"] == "error"
    assert "query is no query, so it is not issued" in check["message"]


def test_doctor_says_why_it_does_not_know_the_workflow_server(at_terminal: Terminal, scene: Scene) -> None:
    check = run_checks(at_terminal, "--project", "pinterest_export")["project"]
    assert "TD_API_SERVER names no region of Treasure Data, so the address of its workflow server" in check["message"]


def test_the_name_of_an_audience_is_no_id(at_terminal: Terminal, scene: Scene) -> None:
    assert at_terminal("doctor", "--audience", "Shoppers").failed("PINTEREST_AUDIENCE_ID must be an id", code=2)


def test_an_unknown_end_of_the_token_is_not_a_fault(at_terminal: Terminal, scene: Scene) -> None:
    scene.services.pinterest.switches.token_expiry_fields = False
    check = run_checks(at_terminal)["token_days"]
    assert (check["status"], check["message"]) == ("ok", "Pinterest does not say how long the refresh token lasts")


@pytest.mark.parametrize("arguments", [["--query", "x.sql"], ["--query", "x.sql", "--database", "s", "--job", "1"]])
def test_two_sources_of_rows_are_wrong_usage_of_doctor(at_terminal: Terminal, arguments: list[str]) -> None:
    said = "--query and --database must be given together, and without --job"
    assert at_terminal("doctor", *arguments).failed(said, code=2)


def test_doctor_names_a_failed_job_and_ends_with_one(at_terminal: Terminal, scene: Scene) -> None:
    job = scene.services.td.add_job(status="killed", message="line 1: no such column")
    ran = at_terminal("doctor", "--job", job)
    assert ran.code == 1
    assert f"job {job} ended with status killed" in ran.out


@pytest.mark.usefixtures("without_proxy")
def test_proxy_is_shown_without_its_password_and_one_for_socks_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://[::1]:1080/")
    assert check_proxy().status == "error"
    monkeypatch.setenv("https_proxy", "http://me:s3cr3t@proxy.test:3128")
    check = check_proxy()
    assert (check.status, "proxy.test:3128" in check.message, "s3cr3t" in check.message) == ("ok", True, False)
