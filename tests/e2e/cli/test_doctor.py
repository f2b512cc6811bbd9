"""`td-pinterest doctor`: all green when all is well; each planted fault is named with its cure, and nothing else is."""

import json
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.cli import connection
from td_pinterest_op.cli.doctor.checks import check_proxy
from td_pinterest_op.cli.secret_target import write_local_secret
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.clock import Timing
from tests.emulators.pinterest import AD_ACCOUNT_ID, USER, Answer, Fault
from tests.emulators.server import free_port
from tests.emulators.td import Fault as TdFault
from tests.exporting import Services, people
from tests.unit.cli.running import Recorded, Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def refuse(self, path: str) -> None:
        self.services.pinterest.inject(Fault(effect=Answer(status=403), path=path))


@pytest.fixture
def scene(at_terminal: Terminal, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    """An audience of 200 people, a good job and a good workflow."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
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
    assert [] == scene.services.pinterest.calls.writes()


def test_json_output_has_the_documented_form(at_terminal: Terminal, scene: Scene) -> None:
    result = json.loads(at_terminal("doctor", "--json").out)
    assert result["ok"] is True
    assert all({"name", "status", "message", "advice"} == set(check) for check in result["checks"])
    assert {"ok"} == {check["status"] for check in result["checks"]}


def test_doctor_runs_a_query_and_checks_its_rows(at_terminal: Terminal, scene: Scene) -> None:
    scene.services.td.create("shop", "people", [{"email": person} for person in people(3)])
    query = scene.folder / "people.sql"
    query.write_text("SELECT email FROM people")
    ran = at_terminal("doctor", "--query", query, "--database", "shop")
    assert 0 == ran.code
    assert "invalid rows among the first 3: 0" in ran.out


def set_clock_back(scene: Scene) -> None:
    late = Timing(now=lambda: time.time() - 3_600)
    scene.monkeypatch.setattr("td_pinterest_op.cli.doctor.pinterest_checks.SYSTEM", late)


def use_closed_port(scene: Scene, variable: str, path: str) -> None:
    scene.env(variable, f"http://127.0.0.1:{free_port()}/{path}")
    scene.monkeypatch.setitem(connection._PATIENCE, "retry_count", 0)


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
    (
        ("TD_API_SERVER", "http://td.example/"),
        "endpoints",
        "error",
        "must be an https address",
        "correct the variables",
    ),
    (("HTTPS_PROXY", "proxy"), "proxy", "error", "HTTPS_PROXY is not the address of a proxy", "http://HOST:PORT"),
    (("PINTEREST_CLIENT_ID", "b\x01d"), "token", "error", "client_id", "client_id"),
    (("PINTEREST_CLIENT_SECRET", "other-s3cr3t"), "token", "error", "401", "client_secret"),
    (("PINTEREST_REFRESH_TOKEN", "pinr.other-s3cr3t"), "token", "error", "401 (code 283)", "`unset PINTEREST_REFRESH_"),
    (("PINTEREST_AD_ACCOUNT_ID", "123456"), "ad_account", "error", "cannot read ad account 123456", "correct the id"),
    (("PINTEREST_AUDIENCE_ID", "99"), "audience", "error", "there is no audience 99", "td-pinterest audiences"),
    (("PINTEREST_AUDIENCE_ID", None), "audience", "warning", "no audience is named", "PINTEREST_AUDIENCE_ID"),
    (("TD_API_KEY", "1/other-s3cr3t"), "treasure_data", "error", "Treasure Data refused the API key", "TD_API_SERVER"),
    (
        lambda scene: scene.switch("scope", "ads:read"),
        "scopes",
        "error",
        "lacks the scope ads:write",
        "td-pinterest authorize",
    ),
    (
        lambda scene: scene.switch("scope", "ads:write"),
        "scopes",
        "error",
        "lacks the scope ads:read",
        "td-pinterest authorize",
    ),
    (lambda scene: scene.services.time.sleep(55 * 86_400), "token_days", "warning", "expires in 5 days", "authorize"),
    (set_clock_back, "clock", "error", " s behind", "set the clock"),
    (set_trial_access, "tier", "warning", "trial access: 300 requests a day, about 3,000,000 people", "Upgrade"),
    (restrict_role_to_analyst, "role", "warning", "ANALYST", "AUDIENCE_MANAGER"),
    (
        lambda scene: use_closed_port(scene, "PINTEREST_API_ENDPOINT", "v5"),
        "token",
        "error",
        "no response from Pinterest",
        "",
    ),
    (
        lambda scene: use_closed_port(scene, "TD_API_SERVER", ""),
        "treasure_data",
        "error",
        "Treasure Data",
        "",
    ),
    (use_other_audience_type, "audience", "error", "is of type VISITOR", "td-pinterest audiences"),
    (remove_audience, "audience", "error", "was removed", "td-pinterest audiences"),
    (shrink_audience, "audience", "warning", "TOO_SMALL, size 3", "export more people"),
    (lambda scene: scene.refuse("/ad_accounts$"), "ad_account", "error", "403", ""),
    (lambda scene: scene.refuse("/audiences/"), "audience", "error", "403", ""),
    (add_ad_accounts, "ad_account", "error", '549755885175 "Emulated ad account", 549755885176', "--ad-account"),
    (lambda scene: scene.switch("processing_seconds", 3_600.0), "audience", "warning", "INITIALIZING", "look again"),
    (lambda scene: scene.workflow.unlink(), "workflow", "error", "cannot be opened: No such file", "name an existing"),
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
    ran = at_terminal("doctor", "--json", "--workflow", scene.workflow)
    checks = {check["name"]: check for check in json.loads(ran.out)["checks"]}
    assert [name] == [check["name"] for check in checks.values() if check["status"] != "ok" and not is_skipped(check)]
    assert status == checks[name]["status"]
    assert said in checks[name]["message"]
    assert cure in f"{checks[name]['message']} {checks[name]['advice']}"
    assert int(status == "error") == ran.code


def test_doctor_prints_an_audience_name_without_its_control_characters(at_terminal: Terminal, scene: Scene) -> None:
    name = "Sh\x1b[31mop\u202e\nper"
    ran = at_terminal("doctor", "--audience", scene.services.audience(people(200), name=name))
    assert '"Sh\\x1b[31mop\\u202e\\nper": READY' in ran.out


@pytest.mark.parametrize(
    ("place", "advice"),
    [
        (
            "environment",
            "`unset PINTEREST_REFRESH_TOKEN`: the environment takes precedence over what `td-pinterest authorize`",
        ),
        ("local", "run `td-pinterest authorize`"),
        ("file", "run `td-pinterest authorize --to file {file}`"),
    ],
)
def test_advice_about_a_rejected_token_depends_on_where_it_is_stored(
    at_terminal: Terminal, scene: Scene, place: str, advice: str
) -> None:
    scene.env("PINTEREST_REFRESH_TOKEN", "pinr.other-s3cr3t" if place == "environment" else None)
    file = scene.folder / "my secrets.env"
    file.touch(0o600)
    if place == "file":
        file.write_text("PINTEREST_REFRESH_TOKEN=pinr.other-s3cr3t")
    if place == "local":
        write_local_secret("pinterest.refresh_token", Secret("pinr.other-s3cr3t"), os.environ)
    checks = {
        check["name"]: check for check in json.loads(at_terminal("doctor", "--json", "--env-file", file).out)["checks"]
    }
    assert "error" == checks["token"]["status"]
    assert checks["token"]["advice"].startswith(advice.format(file=shlex.quote(str(file))))


@pytest.mark.parametrize("name", ["PINTEREST_CLIENT_ID", "PINTEREST_CLIENT_SECRET"])
def test_wrong_app_credential_is_named_with_where_it_is_stored(at_terminal: Terminal, scene: Scene, name: str) -> None:
    scene.env(name, "12-s3cr3t")
    (token,) = (
        check for check in json.loads(at_terminal("doctor", "--json").out)["checks"] if check["name"] == "token"
    )
    assert f"{name} (from the environment)" in token["advice"]


def is_skipped(check: dict[str, str]) -> bool:
    """Return whether a check was skipped because of another fault. A missing audience is a fault itself."""
    return check["message"].startswith("not checked") and "is named" not in check["message"]


@pytest.mark.parametrize(
    ("column", "values", "status", "said", "cure"),
    [
        (
            ("mail", "varchar"),
            ["a@b.example"],
            "error",
            'column "mail" is not an identifier',
            "there is no column email",
        ),
        (("email", "bigint"), [1], "error", "cast it to varchar", ""),
        (
            ("email", "varchar"),
            ["nobody"] * 3,
            "error",
            "3 of 3 rows are invalid (not_an_email 3); the first are in rows 1, 2, 3: there is no valid record",
            "explain not_an_email",
        ),
        (
            ("email", "varchar"),
            ["nobody", "a@b.example"],
            "warning",
            "among the first 2: 1 (not_an_email 1)",
            "explain not_an_email",
        ),
        (("email", "varchar"), [], "warning", "has no rows", "WHERE"),
        (("email", "varchar"), ["e" * 64] * 2, "warning", "2 values look hashed already", "may mask the column"),
        (
            ("email", "varchar"),
            ["e" * 64, "nobody", "n/a", "nobody"],
            "warning",
            "among the first 4: 3 (not_an_email 2, placeholder 1); 1 values look hashed already",
            "`td-pinterest explain not_an_email` explains the invalid rows, with SQL that finds them; a policy of",
        ),
    ],
)
def test_doctor_checks_the_rows_of_a_job(
    at_terminal: Terminal, scene: Scene, column: tuple[str, str], values: list[Any], status: str, said: str, cure: str
) -> None:
    job = scene.services.td.add_job(columns=[column], rows=[(value,) for value in values])
    checks = {check["name"]: check for check in json.loads(at_terminal("doctor", "--json", "--job", job).out)["checks"]}
    assert ["rows"] == [name for name, check in checks.items() if check["status"] != "ok"]
    assert status == checks["rows"]["status"]
    assert said in f"{checks['rows']['message']} {checks['rows']['advice']}"
    assert cure in f"{checks['rows']['message']} {checks['rows']['advice']}"


_ACTION = "action: add_people_to_current_audience\n"
_SETTINGS = f"{_ACTION}columns: {{mail: email, tel: phone}}\nrecords: rows\ndefault_country: DE\n"


_IDS, _SKIP = "columns: {id: maid}\n", "ignore_invalid_records: true\n"
_GOOD: list[tuple[str | None, str | None]] = [("a@b.example", None), ("b@b.example", None)]


def test_doctor_checks_rows_by_the_settings_of_a_file_or_a_workflow(at_terminal: Terminal, scene: Scene) -> None:
    job = scene.services.td.add_job(columns=[("mail", "varchar"), ("tel", "varchar")], rows=[("n/a", "030 901820")])
    assert "cannot be exported" in at_terminal("doctor", "--job", job).out
    settings = scene.folder / "export.yml"
    settings.write_text(_SETTINGS)
    workflow = scene.folder / "export.dig"
    indented = "".join(f"    {line}\n" for line in _SETTINGS.splitlines())
    workflow.write_text(f"+export:\n  py>: td_pinterest_op.export.PinterestExport\n  result_settings:\n{indented}")
    for option, file in (("--settings", settings), ("--workflow", workflow)):
        ran = at_terminal("doctor", "--job", job, option, file)
        assert f"job {job} (mail, tel): invalid rows among the first 1: 0" in ran.out


@pytest.mark.parametrize(
    ("settings", "rows", "status", "said"),
    [
        (
            "control: {percent: 10, salt: s, by: id}",
            [("a@b.example", "1")],
            "ok",
            "(email): invalid rows among the first 1: 0",
        ),
        ("control: {percent: 10, salt: s, by: nr}", [("a@b.example", "1")], "error", "which `control` names"),
        ("expect_values: plain\ncolumns: {id: maid}", [("a@b.example", None)], "ok", "among the first 1: 0"),
        ("expect_values: plain\ncolumns: {id: maid}", [("e" * 64, None)], "error", "1 of 1 valid values look hashed"),
        ("expect_values: hashed\ncolumns: {id: maid}", [("e" * 64, "f" * 64)], "ok", "among the first 1: 0"),
        (
            "expect_values: hashed\ncolumns: {id: maid}",
            [("a@b.example", None)],
            "error",
            "1 of 1 valid values are plain",
        ),
        (_IDS, [*_GOOD, (None, "nobody")], "error", "3 rows checked: an export would stop: 1 of 3 rows is invalid"),
        (f"{_IDS}ignore_error: true", [*_GOOD, (None, "nobody")], "warning", "first 3: 1 (not_a_device_id 1)"),
        (f"{_IDS}{_SKIP}max_invalid_ratio: 0.3", [*_GOOD, (None, "nobody")], "error", "more than max_invalid_ratio"),
        (f"{_IDS}{_SKIP}max_invalid_ratio: 0.3", [*_GOOD * 300, (None, "x")] * 4, "warning", "first 1,000: 1 (not_a"),
        (f"{_IDS}{_SKIP}max_invalid_ratio: 0.3", [(None, "x")] * 999 + _GOOD, "warning", "first 1,000: 999 (not_a"),
        (_IDS, [], "error", "0 rows checked: an export would stop: there is no valid record to send (0 rows read"),
        (f"{_IDS}allow_empty: true", [], "warning", "has no rows"),
        (f"{_IDS}min_records: 3", _GOOD, "error", "2 unique records are fewer than min_records (3)"),
        (f"{_IDS}min_records: 1001", _GOOD * 501, "ok", "invalid rows among the first 1,000: 0"),
        (f"{_IDS}max_records: 1", _GOOD, "error", "2 unique records are more than max_records (1)"),
        (
            f"{_IDS}max_records: 9",
            [(f"{n}@b.example", None) for n in range(1500)],
            "error",
            "more than max_records (9)",
        ),
        (f"{_IDS}max_records: 2", _GOOD * 501, "ok", "among the first 1,000: 0"),
        (f"{_IDS}{_SKIP}", [(None, "x")] * 1000 + _GOOD, "warning", "first 1,000: 1,000 (not_a_device_id 1,000)"),
        (_IDS, [(None, "x")] * 1000 + _GOOD, "error", "1,000 of 1,000 rows are invalid"),
        (f"{_IDS}{_SKIP}allow_empty: true", [(None, None)] * 2, "warning", "first 2: 2 (null 2)"),
        (f"{_IDS}{_SKIP}", [(None, None)] * 2, "error", "there is no valid record to send"),
        (
            f"{_IDS}begin: replace\naction: mirror_current_audience",
            _GOOD,
            "error",
            "2 unique records are fewer than min_records",
        ),
        (f"{_IDS}begin: replace\nmin_records: 2\naction: mirror_current_audience", _GOOD, "ok", "among the first 2: 0"),
    ],
)
def test_doctor_judges_rows_by_the_settings_of_a_file_as_an_export_does(
    at_terminal: Terminal,
    scene: Scene,
    settings: str,
    rows: list[tuple[str | None, str | None]],
    status: str,
    said: str,
) -> None:
    job = scene.services.td.add_job(columns=[("email", "varchar"), ("id", "varchar")], rows=rows)
    file = scene.folder / "export.yml"
    file.write_text(settings if "action:" in settings else _ACTION + settings)
    checks = json.loads(at_terminal("doctor", "--json", "--job", job, "--settings", file).out)["checks"]
    (check,) = (check for check in checks if check["name"] == "rows")
    assert status == check["status"]
    assert said in check["message"]


@pytest.mark.parametrize(
    ("settings", "status", "said"),
    [
        ("action: nope\nfoo: 1\n", "error", ["result_settings has 2 problems", "- action: ", "- foo: is unknown"]),
        ("columns: {email: email}\n", "error", ["- audience_name: missing, and create_new_audience needs it"]),
        (f"{_ACTION}columns: {{tel: phone}}\n", "error", ["result_settings has 1 problem"]),
        (f"{_ACTION}audience_name: Spring\n", "warning", ["does not use these settings: audience_name"]),
        (_ACTION, "ok", []),
    ],
)
def test_doctor_checks_the_settings_of_a_file_as_an_export_does(
    at_terminal: Terminal, scene: Scene, settings: str, status: str, said: list[str]
) -> None:
    file = scene.folder / "export.yml"
    file.write_text(settings)
    for source in ([], ["--job", scene.job]):
        ran = at_terminal("doctor", "--json", "--settings", file, *source)
        checks = {check["name"]: check for check in json.loads(ran.out)["checks"]}
        others = {name for name, check in checks.items() if check["status"] != "ok" and not is_skipped(check)}
        assert (status, others - {"settings"}) == (checks["settings"]["status"], set())
        assert all(part in checks["settings"]["message"] for part in said)
        assert (int(status == "error"), not source or status == "error") == (
            ran.code,
            "rows" not in checks or is_skipped(checks["rows"]),
        )


@pytest.mark.parametrize(
    ("siblings", "has_rows", "expected"),
    [
        ("", False, ""),
        ("database: shop\n", False, ""),
        ("query: SELECT 1\ndatabase: shop\n", True, ""),
        ("job_id: 1\n", False, "not checked: job_id in the file of --settings"),
        ("query: a.sql\nsuppress: b.sql\n", False, "not checked: query and suppress in the file of --settings"),
        ("query: a.sql\nconsent: b.sql\n", True, "not checked: consent in the file of --settings"),
    ],
)
def test_doctor_names_the_queries_of_a_file_that_it_does_not_check(
    at_terminal: Terminal, scene: Scene, siblings: str, has_rows: bool, expected: str
) -> None:
    file = scene.folder / "export.yml"
    file.write_text(f"result_settings: {{{_ACTION.strip()}}}\n{siblings}")
    arguments = ["--settings", file, *(["--job", scene.job] if has_rows else [])]
    checks = {check["name"]: check for check in json.loads(at_terminal("doctor", "--json", *arguments).out)["checks"]}
    assert expected == checks.get("task", {"message": ""})["message"]
    ran = at_terminal("doctor", *arguments)
    assert (0, not expected) == (ran.code, "Everything that an export needs is in place." in ran.out)
    assert bool(expected) == ("Everything that was checked is in place." in ran.out)


@pytest.mark.parametrize(
    ("task", "rows", "status", "said"),
    [
        ("ignore_invalid_records: false", ["a@b.example", "x"], "error", "1 of 2 rows is invalid"),
        ("min_records: 1", ["a@b.example", "x"], "error", "1 of 2 rows is invalid"),
        ("ignore_invalid_records: '${skip}'", ["a@b.example", "x"], "warning", "first 2: 1 (not_an_email 1)"),
        ("ignore_error: '${skip}'", ["a@b.example", "x"], "warning", "first 2: 1 (not_an_email 1)"),
        ("ignore_invalid_records: true", [], "error", "0 rows checked: an export would stop"),
        ("allow_empty: true", [], "warning", "has no rows"),
        ("allow_empty: '${may_be_empty}'", [], "warning", "has no rows"),
        ("max_records: 1", ["a@b.example", "b@b.example"], "error", "more than max_records (1)"),
        ("max_records: 1}\n  suppress: {", ["a@b.example", "b@b.example"], "ok", "among the first 2: 0"),
        ("audience_id: '2'", ["a@b.example"], "ok", "among the first 1: 0"),
    ],
)
def test_doctor_judges_rows_by_the_settings_of_a_workflow(
    at_terminal: Terminal, scene: Scene, task: str, rows: list[str], status: str, said: str
) -> None:
    job = scene.services.td.add_job(columns=[("email", "varchar")], rows=[(row,) for row in rows])
    scene.workflow.write_text(
        "+export:\n  py>: td_pinterest_op.export.PinterestExport\n"
        f"  result_settings: {{action: add_people_to_current_audience, {task}}}\n"
    )
    ran = at_terminal("doctor", "--json", "--job", job, "--workflow", scene.workflow)
    [check] = [check for check in json.loads(ran.out)["checks"] if check["name"] == "rows"]
    assert (status, True) == (check["status"], said in check["message"]), check


@pytest.mark.parametrize("limit", ["ignore_invalid_records: true", "max_records: 1", "action: mirror_current_audience"])
@pytest.mark.parametrize("is_first", [True, False])
def test_doctor_does_not_judge_rows_by_a_limit_of_only_one_of_several_exports(
    at_terminal: Terminal, scene: Scene, limit: str, is_first: bool
) -> None:
    rows = [("a@b.example",), ("x" if "invalid" in limit else "b@b.example",)]
    job = scene.services.td.add_job(columns=[("email", "varchar")], rows=rows)
    entries = [limit, "history: ''"] if is_first else ["history: ''", limit]
    scene.workflow.write_text(
        "".join(
            f"+export{number}:\n  py>: td_pinterest_op.export.PinterestExport\n  result_settings: {{{entry}}}\n"
            for number, entry in enumerate(entries)
        )
    )
    ran = at_terminal("doctor", "--json", "--job", job, "--workflow", scene.workflow)
    [check] = [check for check in json.loads(ran.out)["checks"] if check["name"] == "rows"]
    assert ("warning" if "invalid" in limit else "ok") == check["status"], check


@pytest.mark.parametrize(("lists", "status"), [({}, "error"), ({"suppress": "SELECT 1 AS email"}, "ok")])
def test_doctor_does_not_judge_the_number_of_records_if_a_list_may_withhold_some(
    at_terminal: Terminal, scene: Scene, lists: dict[str, str], status: str
) -> None:
    file, settings = scene.folder / "export.yml", {"action": "add_people_to_current_audience", "max_records": 9}
    file.write_text(json.dumps({"result_settings": settings, "database": "shop", **lists}))
    ran = at_terminal("doctor", "--json", "--job", scene.job, "--settings", file)
    [check] = [check for check in json.loads(ran.out)["checks"] if check["name"] == "rows"]
    assert status == check["status"], check


_HISTORY_IN = """\
_export: {td: {database: shop}, table: %s}
+export:
  py>: td_pinterest_op.export.PinterestExport
  result_settings: {type: pinterest, history: "${table}"}
"""


@pytest.mark.parametrize(
    ("table", "status", "said", "cure"),
    [
        ("pinterest_history", "ok", "the first run creates the table shop.pinterest_history", ""),
        ("crm.old", "ok", "the table crm.old exists; the next run adds the", ""),
        (
            "nowhere.x",
            "error",
            'there is no database "nowhere" for the history',
            "create that database, or name another",
        ),
        ("a.b.c", "error", "'a.b.c' is not a valid table name", "table or database.table"),
    ],
)
@pytest.mark.parametrize("of_workflow", [True, False])
def test_doctor_checks_the_history_named_in_a_workflow_or_a_file(
    at_terminal: Terminal, scene: Scene, table: str, status: str, said: str, cure: str, of_workflow: bool
) -> None:
    for database, name in (("shop", "others"), ("crm", "old")):
        scene.services.td.create(database, name, [{"kind": "run"}])
    scene.workflow.write_text(_HISTORY_IN % table)
    (scene.folder / "task.yml").write_text(
        f"database: shop\nresult_settings: {{{_ACTION.strip()}, history: {table}}}\n"
    )
    named = ["--workflow", scene.workflow] if of_workflow else ["--settings", scene.folder / "task.yml"]
    checks = {check["name"]: check for check in json.loads(at_terminal("doctor", *named, "--json").out)["checks"]}
    assert status == checks["history"]["status"], checks["history"]
    assert said in checks["history"]["message"]
    assert cure in checks["history"]["advice"]


def test_a_history_that_cannot_be_written_does_not_fail_the_export_checks(at_terminal: Terminal, scene: Scene) -> None:
    settings = scene.folder / "settings.yml"
    settings.write_text(f"{_ACTION}history: pinterest_history\n")
    ran = at_terminal("doctor", "--settings", settings)
    assert 1 == ran.code
    assert "the setting `history` names the table pinterest_history without a database" in ran.out
    assert "An export would run, but would leave no row in the history." in ran.out
    listed = json.dumps({"databases": [{"name": "shop", "permission": "query_only"}]})
    scene.services.td.faults.add(TdFault(kind="status", status=200, body=listed, path="/v3/database/list", times=None))
    settings.write_text(f"{_ACTION}history: shop.pinterest_history\n")
    assert (
        "the key has only the permission query_only on database shop: no row would be written"
        in at_terminal("doctor", "--settings", settings).out
    )


def test_an_unknown_end_of_the_token_is_not_a_fault(at_terminal: Terminal, scene: Scene) -> None:
    scene.services.pinterest.switches.token_expiry_fields = False
    ran = at_terminal("doctor")
    assert 0 == ran.code
    assert "token_days: Pinterest does not say how long the refresh token lasts\n" in ran.out


@pytest.mark.parametrize(
    "arguments", [["--query", "x.sql"], ["--database", "shop"], ["--query", "x.sql", "--database", "s", "--job", "1"]]
)
def test_two_sources_of_rows_are_wrong_usage_of_doctor(at_terminal: Terminal, arguments: list[str]) -> None:
    said = "--query and --database must be given together, and without --job"
    assert at_terminal("doctor", *arguments).failed(said, code=2)


@pytest.mark.parametrize("status", ["error", "killed"])
def test_doctor_names_a_failed_job(at_terminal: Terminal, scene: Scene, status: str) -> None:
    job = scene.services.td.add_job(status=status, message="line 1: no such column")
    ran = at_terminal("doctor", "--job", job)
    assert 1 == ran.code
    assert f"job {job} ended with status {status}" in ran.out


@pytest.mark.parametrize(
    ("environ", "status", "said"),
    [
        ({}, "ok", "none is set"),
        ({"HTTPS_PROXY": ""}, "ok", "none is set"),
        ({"https_proxy": "http://me:s3cr3t@proxy.test:3128"}, "ok", "https_proxy is http://proxy.test:3128"),
        ({"ALL_PROXY": "socks5h://[::1]:1080/"}, "ok", "ALL_PROXY is socks5h://[::1]:1080"),
        ({"HTTPS_PROXY": "proxy.test:3128"}, "error", "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://me:s3cr3t@proxy.test"}, "error", "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://[proxy.test:3128"}, "error", "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "ftp://proxy.test:3128"}, "error", "HTTPS_PROXY is not the address of a proxy"),
    ],
)
def test_proxy_is_shown_without_its_password(environ: Mapping[str, str], status: str, said: str) -> None:
    assert (status, said) == (check_proxy(environ).status, check_proxy(environ).message)
