"""`td-pinterest init --from`: the folder that does what tasks of the built-in connector did, and has nothing else."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dig.config import load
from tests.dig.template import evaluate
from tests.e2e.cli.test_init import check_folder, list_files, read_settings, run_workflow
from tests.e2e.project import ROOT, run_with_tests_dig
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digests, people
from tests.unit.cli.running import Ran, Terminal

CLIENT_SECRET = "s3cr3t-of-the-old-app"
REFRESH_TOKEN = "pinr.old-s3cr3t-token"
OUTSIDE = "SELECT outside_but_readable FROM people"
# The example of Treasure Data's page about the connector, with ids that exist here.
VENDOR = f"""\
_export:
  td:
    database: shop
+pinterest_export_task:
  td>: queries/sample.sql
  database: ${{td.database}}
  result_connection: your_connection_name
  result_settings:
    type: pinterest
    client_id: "1234567"
    client_secret: {CLIENT_SECRET}
    refresh_token: {REFRESH_TOKEN}
    ad_account_id: "{AD_ACCOUNT_ID}"
    audience_type: CUSTOMER_LIST
    action: ADD_PEOPLE_TO_CURRENT_AUDIENCE
    audience_id_add_people: "AUDIENCE_ID"
    audience_name: TD audience
    audience_description: Made by TD
    limit_records_per_request: 10000
    ignore_invalid_records: true
    retry_count: 7
    connection_timeout_secs: 180
"""
PLAIN = f"""\
+e:
  td>: {{data: SELECT email FROM people}}
  database: shop
  result_settings:
    type: pinterest
    audience_type: customer_list
    action: add_people_to_current_audience
    ad_account_id: "{AD_ACCOUNT_ID}"
    audience_id: "2542620905475"
"""
Convert = Callable[..., Ran]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The old project's folder, beside which is a secret."""
    folder = tmp_path / "old"
    (folder / "queries").mkdir(parents=True)
    (folder / "queries" / "sample.sql").write_text("SELECT email FROM people\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "id.sql").write_text(OUTSIDE)
    (tmp_path / "outside" / "one.yml").write_text("audience_name: outside_but_readable\n")
    return folder


@pytest.fixture
def convert(at_terminal: Terminal, folder: Path, old: Path) -> Convert:
    """Runs `init --from` over a file with this text."""

    def run(text: str | bytes, *arguments: object) -> Ran:
        (old / "old.dig").write_bytes(text if isinstance(text, bytes) else text.encode())
        return at_terminal("init", folder, "--yes", "--from", old / "old.dig", *arguments)

    return run


@pytest.fixture(autouse=True)
def people_to_export(services: Services) -> None:
    services.td.create("shop", "people", [{"email": person} for person in people(20)])


def read_all(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file()) if folder.exists() else ""


def test_folder_from_the_vendors_example_runs_and_has_no_credential(
    convert: Convert, folder: Path, services: Services
) -> None:
    audience = services.audience()
    ran = convert(VENDOR.replace("AUDIENCE_ID", audience))
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    assert read_settings(folder) == {
        "type": "pinterest",
        "audience_type": "CUSTOMER_LIST",
        "ad_account_id": AD_ACCOUNT_ID,
        "action": "add_people_to_current_audience",
        "audience_id_add_people": audience,
        "limit_records_per_request": 10000,
        "ignore_invalid_records": True,
        "retry_count": 7,
        "connection_timeout_secs": 180,
        "history": "pinterest_history",
    }
    assert yaml.safe_load((folder / "config" / "workflow.yml").read_text())["td"] == {"database": "shop"}
    text = read_all(folder) + ran.out + ran.err
    assert (CLIENT_SECRET in text, REFRESH_TOKEN in text) == (False, False)
    said = " ".join(ran.err.split())
    assert (
        "left out: client_secret, refresh_token: in plain text, for everybody who can read the file: revoke it" in said
    )
    assert "left out: audience_name, audience_description: add_people_to_current_audience does not use it" in said
    run_workflow(folder, services)
    assert services.pinterest.members_of_audience(audience) == digests(20)


def test_schedule_and_time_zone_are_taken(convert: Convert, folder: Path) -> None:
    head = (
        "timezone: Asia/Tokyo\nschedule:\n  cron>: 0 7 * * 1\n  skip_on_overtime: true\n  skip_delayed_by: 2h\n"
        "  start: 2026-01-01\n"
    )
    ran = convert(head + PLAIN)
    assert ran.code == 0, ran.err
    config = load(folder / "pinterest_export.dig")
    assert config["timezone"] == "Asia/Tokyo"
    assert config["schedule"] == {"cron>": "0 7 * * 1", "skip_on_overtime": True}
    assert "left out: schedule skip_delayed_by, schedule start: write it into the new folder" in " ".join(
        ran.err.split()
    )


TWO = PLAIN + PLAIN.replace("+e:", "+second:").replace("2542620905475", "2542620905476")


def test_several_tasks_become_a_list_of_audiences(convert: Convert, folder: Path, services: Services) -> None:
    first, second = services.audience(name="One"), services.audience(name="Two")
    ran = convert(TWO.replace("2542620905475", first).replace("2542620905476", second))
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    assert [name for name in list_files(folder) if name.startswith(("queries", "pin"))] == [
        "pinterest_audiences.dig",
        "queries/e.sql",
        "queries/second.sql",
    ]
    config = evaluate(load(folder / "config" / "audiences.yml"), {})
    assert [entry["audience_id"] for entry in config["audiences"]] == [first, second]
    (folder / "td_pinterest_op").symlink_to(ROOT / "td_pinterest_op")
    done = run_with_tests_dig(folder / "pinterest_audiences.dig", services, folder)
    assert done.succeeded, done.log
    assert services.pinterest.members_of_audience(second) == digests(20)


def test_entry_has_the_engine_and_the_database_of_its_own_task(convert: Convert, folder: Path) -> None:
    first, second = TWO.split("+second:")
    other = second.replace("database: shop", "database: crm")
    third = second.replace("2542620905475", "3")
    ran = convert(f"{first.replace('+e:', '+hive:')}  engine: hive\n+second:{other}+third:{third}")
    assert ran.code == 0, ran.err
    entries = load(folder / "config" / "audiences.yml")["audiences"]
    assert [(each["name"], each.get("engine"), each.get("database")) for each in entries] == [
        ("hive", "hive", None),
        ("second", None, "crm"),
        ("third", None, None),
    ]
    assert yaml.safe_load((folder / "config" / "workflow.yml").read_text())["td"] == {"database": "shop"}


def test_entry_is_named_after_the_groups_and_the_task(convert: Convert, folder: Path) -> None:
    indented = TWO.replace("\n", "\n  ").rstrip()
    assert convert(f"+g:\n  {indented}\n").code == 0
    entries = load(folder / "config" / "audiences.yml")["audiences"]
    assert [each["name"] for each in entries] == ["g_e", "g_second"]


def test_one_of_several_tasks_is_chosen(convert: Convert, folder: Path) -> None:
    assert convert(TWO, "--task", "+second").code == 0
    assert read_settings(folder)["audience_id"] == "2542620905476"


@pytest.mark.parametrize("action", ["${action}", "add_people", "''", "create_actalike_audience"])
def test_action_that_no_workflow_runs_is_an_error_and_never_the_default(
    convert: Convert, folder: Path, action: str
) -> None:
    ran = convert(PLAIN.replace("add_people_to_current_audience", action))
    if action == "''":  # the connector's default
        assert read_settings(folder)["action"] == "create_new_audience"
    else:
        assert ran.failed("+e has no action that a shipped workflow runs")
        assert not folder.exists()


def test_files_with_different_schedules_are_refused(
    at_terminal: Terminal, convert: Convert, folder: Path, old: Path
) -> None:
    (old / "other.dig").write_text("schedule: {daily>: 07:00:00}\n" + PLAIN)
    ran = convert(PLAIN, "--from", old / "other.dig")
    assert ran.failed("the files have different schedules or time zones: make a folder for each of them")
    assert not folder.exists()


@pytest.mark.parametrize("option", ["--query", "--ad-account", "--timezone"])
def test_option_without_effect_beside_from_is_wrong_usage(convert: Convert, folder: Path, option: str) -> None:
    assert convert(PLAIN, option, "UTC").failed(f"{option} has no effect with --from", code=2)
    assert not folder.exists()


def test_alert_and_region_come_from_options(convert: Convert, folder: Path) -> None:
    assert convert(PLAIN, "--alert", "slack", "--region", "https://api.eu01.treasuredata.com/").code == 0
    assert yaml.safe_load((folder / "config" / "workflow.yml").read_text())["slack"] is True
    environment = yaml.safe_load((folder / "config" / "environment.yml").read_text())
    assert environment["TD_API_SERVER"] == "https://api.eu01.treasuredata.com/"


def _with_setting(line: str) -> str:
    return f"{PLAIN}    {line}\n"


def _with_key(line: str) -> str:
    return PLAIN.replace("  database: shop\n", f"  database: shop\n  {line}\n")


def _with_query(line: str) -> str:
    return PLAIN.replace("  td>: {data: SELECT email FROM people}", f"  {line}")


_DOUBLES = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))
_EVIL = "evil.example"
# What must not be read, copied or waited for. Each may end with a folder that has none of it, or with an error.
HOSTILE: dict[str, str | bytes] = {
    "environment with lines": _with_key(
        '_env: {PINTEREST_CLIENT_ID: "${secret:x} \\nHTTPS_PROXY: http://evil.example:3128\\nLD_PRELOAD: x.so"}'
    ),
    "secret beside a reference": _with_setting('client_secret: "PLAIN-s3cr3t${secret:x}"'),
    "secret reference of a setting": _with_setting("refresh_token: ${secret:td.apikey}"),
    "secret as a number": _with_setting("client_secret: 1234567890123456"),
    "secret as a mapping": _with_setting("client_secret: {a: PLAIN-s3cr3t}"),
    "secret as a block": _with_setting("refresh_token: |\n      PLAIN-s3cr3t"),
    "secret in a name": _with_setting("audience_name: ${secret:pinterest.client_secret}"),
    "key on the task": _with_key("apikey: 1/PLAIN-s3cr3t"),
    "key in the environment": _with_key("_env: {TD_API_KEY: 1/PLAIN-s3cr3t}"),
    "server in the environment": _with_key("_env: {TD_API_SERVER: 'https://evil.example/'}"),
    "endpoint": _with_key("endpoint: evil.example"),
    "result URL": _with_key("result_url: 'pinterest://PLAIN-s3cr3t@evil.example/'"),
    "download": _with_key("download_file: ../../outside/new.csv"),
    "query of the folder above": _with_query("td>: ../outside/id.sql"),
    "absolute query": _with_query("td>: OUTSIDE/id.sql"),
    "query through a link": _with_query("td>: queries/link.sql"),
    "query of a folder through a link": _with_query("td>: up/outside/id.sql"),
    "query from a pipe": _with_query("td>: queries/pipe.sql"),
    "query from a device": _with_query("td>: /dev/zero"),
    "query through a link to a device": _with_query("td>: queries/zero.sql"),
    "query of a name with a line feed": _with_query('td>: "queries/a\\nb.sql"'),
    "query with a template": _with_query("td>: {data: 'SELECT ${secret:x} FROM people'}"),
    "query that is a list": _with_query("td>: {data: [SELECT 1]}"),
    "include of the folder above": _with_setting("!include : ../outside/one.yml"),
    "absolute include": _with_setting("!include : OUTSIDE/one.yml"),
    "include through a link": _with_setting("!include : queries/link.yml"),
    "include of a device": _with_setting("!include : /dev/zero"),
    "include of itself": f"!include : old.dig\n{PLAIN}",
    "include of a list": _with_setting("!include : [a]"),
    "aliases without end": _DOUBLES + PLAIN,
    "alias of itself": f"a: &a {{b: *a}}\n{PLAIN}",
    "deep nesting": f"{PLAIN}a: {'[' * 2_000}\n",
    "tag of Python": _with_setting(
        "audience_description: !!python/object/apply:os.system [touch outside_but_readable]"
    ),
    "unknown tag": _with_setting("audience_description: !secret PLAIN"),
    "merge key": f"x: &x {{client_secret: PLAIN-s3cr3t, suppress: ../outside/id.sql}}\n{_with_setting('<<: *x')}",
    "one key twice": _with_setting('audience_id: "7"'),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "carriage returns": PLAIN.replace("\n", "\r\n"),
    "other encoding": PLAIN.encode("utf-16"),
    "control characters in a key": _with_setting('"odd\\e[2K\\r\\n::error::": PLAIN-s3cr3t'),
    "control characters in a name": PLAIN.replace("+e:", '"+e\\e[31m":'),
    "40-digit id": PLAIN.replace('"2542620905475"', "12345678" * 5),
    "41-digit id": PLAIN.replace('"2542620905475"', "1" * 41),
    "file of opt-outs": _with_setting("suppress: ../outside/id.sql"),
    "report outside": _with_setting("report: ../outside/page.html"),
    "schedule with lines": 'schedule: {"daily>": "07:00:00\\n_error: {sh>: evil.example}"}\n' + PLAIN,
    "time zone with lines": 'timezone: "UTC\\n_error: {sh>: evil.example}"\n' + PLAIN,
    "database with lines": PLAIN.replace("database: shop", 'database: "shop\\n  endpoint: evil.example"'),
    "engine with lines": _with_key('engine: "presto\\n  endpoint: evil.example"'),
    "description with lines": _with_setting('audience_description: "a\\nclient_secret: PLAIN-s3cr3t"'),
    "name with a comment": PLAIN.replace('audience_id: "2542620905475"', 'audience_name: "a # b: ${c}"').replace(
        "add_people_to", "replace"
    ),
    "null character": _with_setting('"a\\0b": 1'),
}


@pytest.mark.parametrize("form", ["pipe", "device", "link out", "link to itself", "more than 1 MB", "many includes"])
def test_old_file_that_is_no_file_of_its_folder_or_too_large_is_an_error(
    at_terminal: Terminal, folder: Path, old: Path, form: str
) -> None:
    path = old / "old.dig"
    (old.parent / "outside" / "one.dig").write_text(PLAIN)
    (old / "large.yml").write_text(f"# {'x' * 900_000}\na: b\n")
    match form:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "link out":
            path.symlink_to("../outside/one.dig")
        case "link to itself":
            path.symlink_to("old.dig")
        case "more than 1 MB":
            path.write_text(f"{PLAIN}# {'x' * 1_000_000}\n")
        case _:
            path.write_text("".join(f"k{n}:\n  !include : large.yml\n" for n in range(1_000)))
    ran = at_terminal("init", folder, "--yes", "--from", path)
    checked = at_terminal("check", path)
    assert (ran.code, checked.code, folder.exists()) == (1, 1, False)
    assert ran.err.startswith(f"error: {old}/")


def test_what_is_around_the_task_is_named_without_its_values(convert: Convert) -> None:
    around = """\
sla: {time: 08:00}
_error: {mail>: {data: late}}
_export:
  td: {database: shop, apikey: 1/PLAIN-s3cr3t, endpoint: evil.example}
  PINTEREST_REFRESH_TOKEN: PLAIN-s3cr3t
  owner: jane
+first: {echo>: hello}
"""
    said = " ".join(convert(around + _with_key("_env: {TD_API_KEY: 1/PLAIN-s3cr3t, DEBUG: evil.example}")).err.split())
    for part in (
        "left out: _env TD_API_KEY, _export td apikey, _export PINTEREST_REFRESH_TOKEN: in plain text, for everybody",
        "left out: _env DEBUG, sla, _export owner, +first: write it into the new folder if you still need it",
        "left out: _error, _export td endpoint: config/environment.yml, --region and --alert are for this",
    ):
        assert part in said
    assert ("evil" in said, "s3cr3t" in said, "jane" in said) == (False, False, False)


@pytest.mark.parametrize(
    "text",
    [
        _with_setting("refresh_token: &t PLAIN-s3cr3t") + "    audience_description: *t\n",
        _with_query("td>: {data: \"SELECT 'PLAIN-s3cr3t' AS email\"}") + "    refresh_token: PLAIN-s3cr3t\n",
        _with_key("_env: {TD_API_KEY: PLAIN-s3cr3t}") + "    audience_description: x PLAIN-s3cr3t y\n",
    ],
    ids=["alias", "query", "part of a text"],
)
def test_value_of_a_credential_in_another_place_is_not_copied(convert: Convert, folder: Path, text: str) -> None:
    text = text.replace("add_people_to_current_audience", "create_new_audience")
    ran = convert(text.replace("audience_id:", "audience_name:"))
    assert "credentials are not copied: remove it from a copy of the file" in " ".join(ran.err.split())
    assert (ran.code, folder.exists(), "s3cr3t" in ran.err) == (1, False, False)


@pytest.mark.parametrize(
    ("name", "is_found"), [("e", True), ("+e", True), ("+g+e", True), ("g+e", True), ("x+e", False)]
)
def test_task_is_chosen_by_the_end_of_its_name(convert: Convert, name: str, is_found: bool) -> None:
    indented = PLAIN.replace("\n", "\n  ").rstrip()
    ran = convert(f"+g:\n  {indented}\n", "--task", name)
    assert ("has no td> task" in ran.err) != is_found


def test_short_text_in_place_of_a_credential_is_no_secret(convert: Convert) -> None:
    assert convert(_with_setting("client_secret: shop")).code == 0  # the database's name


def test_file_without_a_database_gets_no_history(convert: Convert, folder: Path) -> None:
    text = PLAIN.replace("  database: shop\n", "").replace("add_people_to_current", "delete_current")
    ran = convert(text)
    assert (ran.code, read_settings(folder)["history"]) == (0, ""), ran.err


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_hostile_of_an_old_file_is_read_or_copied(
    at_terminal: Terminal, convert: Convert, folder: Path, old: Path, name: str
) -> None:
    (old / "queries" / "link.sql").symlink_to("../../outside/id.sql")
    (old / "queries" / "link.yml").symlink_to("../../outside/one.yml")
    (old / "queries" / "zero.sql").symlink_to("/dev/zero")
    (old / "up").symlink_to("..")
    os.mkfifo(old / "queries" / "pipe.sql")
    text = HOSTILE[name]
    if isinstance(text, str):
        text = text.replace("OUTSIDE", str(old.parent / "outside"))
    ran = convert(text)
    checked = at_terminal("check", old / "old.dig")
    said = ran.out + ran.err + checked.out + checked.err
    written = read_all(folder)
    for secret in ("outside_but_readable", "s3cr3t", "PLAIN", "1/PLAIN"):
        assert secret not in written
        assert secret not in said.replace("outside_but_readable [touch", "")
    for each in (_EVIL, "LD_PRELOAD", "python/object", "1234567890123456"):
        assert each not in written
    assert said.replace("\n", "").isprintable()
    assert "Traceback" not in said
    assert not (ran.code == 0 and check_folder(folder))
    if ran.code == 0:
        task: Any = load(folder / "pinterest_export.dig")["+export"]
        assert set(task["_env"]) <= {
            "TD_API_KEY", "TD_API_SERVER", "PINTEREST_CLIENT_ID", "PINTEREST_CLIENT_SECRET", "PINTEREST_REFRESH_TOKEN"
        }  # fmt: skip
