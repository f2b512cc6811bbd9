"""`td-pinterest init --from`: the folder that does what a task of the built-in connector, or of version 0.5, did."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from td_pinterest_op.cli.lint.workflow_check import check_workflow
from tests.dig.config import load
from tests.e2e.cli.test_init import CONFIGURATION, check_folder, list_files, read_settings, run_workflow
from tests.e2e.project import ENGINES, Engine
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digest, digests, people
from tests.unit.cli.running import Terminal

DATABASE = "shop"
# The example of Treasure Data's page about the connector, with ids that exist here.
VENDOR = """\
_export:
  td:
    database: {database}
+pinterest_export_task:
  td>: queries/sample.sql
  database: ${{td.database}}
  result_connection: your_connection_name
  result_settings:
    type: pinterest
    client_id: "1234567"
    client_secret: {client_secret}
    refresh_token: {refresh_token}
    ad_account_id: "{ad_account}"
    audience_type: CUSTOMER_LIST
    action: ADD_PEOPLE_TO_CURRENT_AUDIENCE
    audience_id_add_people: "{audience}"
    audience_name: TD audience
    audience_description: Made by TD
    limit_records_per_request: 10000
    ignore_invalid_records: true
    retry_count: 7
    retry_initial_wait_millis: 500
    max_retry_wait_millis: 300000
    connection_timeout_secs: 180
    write_timeout_secs: 60
    read_timeout_secs: 180
"""
SETTINGS = "ad_account_id: 'ACCOUNT', audience_type: customer_list, audience_id_add_people: 'AUDIENCE'"
TYPED = f"{{type: pinterest, action: add_people_to_current_audience, {SETTINGS}}}"
# Other tasks of the connector: the workflow, the options of init, and parts of its report.
OTHERS = {
    "two tasks": (
        """\
_export: {td: {database: shop, engine: presto}}
+prepare:
  td>: {data: "SELECT 1 AS one"}
  create_table: tmp
+group:
  _retry: 2
  +add:
    td>:
    query: SELECT email FROM people
    priority: 1
    job_retry: 2
    result_connection: mine
    result_settings: TYPED
  +remove:
    td>: queries/sample.sql
    result_connection: mine
    result_settings: {type: pinterest, ad_account_id: "1", audience_type: customer_list}
""",
        ["--task", "+add"],
        ["+group _retry: write it", "+prepare, +group+remove: another task"],
    ),
    "cron": (
        """\
timezone: Asia/Tokyo
schedule:
  cron>: '0 7 * * 1-5'
  skip_delayed_by: 2h
+export:
  td>: {data: "SELECT email FROM people"}
  database: shop
  engine: trino
  result_connection: mine
  result_settings: TYPED
  result_url: pinterest://user:secret@host
  download_file: people.csv
  store_last_results: true
""",
        [],
        ["result_url: this operator has no result URL", "+export download_file, +export store_last_results: it has"],
    ),
    "include": (
        """\
_export:
  !include : config/common.yml
+export:
  td>: queries/${name}.sql
  database: ${shop.database}
  result_connection: mine
  result_settings:
    !include : config/settings.yml
_error:
  mail>: {data: failed}
""",
        [],
        ["_error: config/failed.yml does", "shop, name: a variable, filled in where the task names it"],
    ),
    "capitals": (
        """\
+export:
  td>: queries/sample.sql
  database: shop
  result_settings: {type: Pinterest, action: ADD PEOPLE-To Current_audience, SETTINGS, ignore_error: TRUE}
""",
        [],
        ["its timezone, query, database"],
    ),
    "settings as text": (
        """\
+export:
  td>: queries/sample.sql
  database: shop
  result_connection: mine
  result_settings: 'TYPED'
""".replace("TYPED", TYPED.replace("'", '"')),
        [],
        ["its timezone, query, database"],
    ),
    "plain text": (
        """\
_export: {td: {apikey: 1/0123456789abcdef, database: shop, endpoint: api.treasuredata.com}}
+export:
  td>: queries/sample.sql
  result_connection: mine
  result_settings:
    client_secret: VerySecretWord1
    refresh_token: pinr.VerySecretWord2
    client_id: ${secret:pinterest.client_id}
    ignored: x
    limit_record_per_request: 5
    action: add_people_to_current_audience
    ad_account_id: "ACCOUNT"
    audience_type: customer_list
    audience_id: AUDIENCE
""",
        [],
        [
            "left out: client_secret, refresh_token, td.apikey: in plain text",
            "left out: client_id: the new folder has a secret",
            "limit_record_per_request: there is no such setting; did you mean limit_records_per_request",
            "left out: ignored: there is no such setting",
        ],
    ),
}
Init = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audiences"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of the workflows that exist."""
    (tmp_path / "old" / "config").mkdir(parents=True)
    (tmp_path / "old" / "queries").mkdir()
    return tmp_path / "old"


@pytest.fixture(autouse=True)
def people_to_export(services: Services) -> None:
    services.td.create(DATABASE, "people", [{"email": person, "number": n} for n, person in enumerate(people(120))])
    services.td.create(DATABASE, "opt_outs", [{"email": person.upper()} for person in people(2)])


@pytest.fixture
def init(at_terminal: Terminal, folder: Path) -> Init:
    return lambda *arguments: at_terminal("init", folder, *arguments)


def write(old: Path, files: dict[str, str]) -> Path:
    """Write files of an existing folder; return the path of the first."""
    for name, text in files.items():
        (old / name).write_text(text)
    return old / next(iter(files))


def fill(text: str, account: str = "1", audience: str = "2") -> str:
    """Return the text of a workflow with the settings of the connector."""
    whole = text.replace("TYPED", TYPED).replace("SETTINGS", SETTINGS)
    return whole.replace("ACCOUNT", account).replace("AUDIENCE", audience)


def list_keys(path: Path) -> set[str]:
    """Return each key of the export's task and of its settings."""
    task = load(path)["+pinterest_export_task"]
    return {key for key in {**task, **task["result_settings"]} if not key.endswith(">")}


@pytest.mark.parametrize("run", ENGINES)
def test_the_vendors_example_becomes_a_folder_that_sends_the_same_people(
    init: Init, folder: Path, old: Path, services: Services, tmp_path: Path, run: Engine
) -> None:
    audience = services.audience()
    text = VENDOR.format(
        database=DATABASE, ad_account=AD_ACCOUNT_ID, audience=audience, client_secret="abc", refresh_token="pinr.abc"
    )
    path = write(old, {"old.dig": text, "queries/sample.sql": "SELECT email FROM people -- at $$5\n"})
    (finding,) = [each for each in check_workflow(path).findings if each.code == "built-in-connector"]
    assert f"`td-pinterest init FOLDER --from {path}`" in finding.message
    before = {file: file.read_bytes() for file in old.rglob("*.*")}
    ran = init("--from", path)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    assert list_files(folder) == [*CONFIGURATION, "pinterest_export.dig", "queries/people.sql"]
    assert (folder / "queries" / "people.sql").read_text() == "SELECT email FROM people -- at $5\n"
    assert {file: file.read_bytes() for file in old.rglob("*.*")} == before
    settings = read_settings(folder)
    assert settings["action"] == "ADD_PEOPLE_TO_CURRENT_AUDIENCE"
    assert settings["history"] == "pinterest_history"
    report = ran.err[: ran.err.index("Next:")]
    # Every key is in the folder or has a reason.
    shown = set(re.findall(r"[\w.]+", report))
    assert list_keys(path) - {"result_settings"} - shown == set()
    assert {"client_secret", "audience_name", "result_connection"}.isdisjoint(settings)
    assert "audience_name, audience_description: add_people_to_current_audience does not use it" in report
    assert re.fullmatch(r"Next:\n(?:  \S.*\n){3}", ran.err[ran.err.index("Next:") :])
    done = run(folder / "pinterest_export.dig", services, tmp_path)
    assert done.succeeded, done.log
    assert services.pinterest.members_of_audience(audience) == digests(120)


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize("name", OTHERS)
def test_a_task_of_the_built_in_connector_becomes_a_folder_that_sends_the_same_people(
    init: Init, folder: Path, old: Path, services: Services, tmp_path: Path, name: str, run: Engine
) -> None:
    audience = services.audience()
    text, options, said = OTHERS[name]
    path = write(
        old,
        {
            "old.dig": fill(text, AD_ACCOUNT_ID, audience),
            "queries/sample.sql": "SELECT email FROM people\n",
            "config/common.yml": f"shop: {{database: {DATABASE}, audience: '{audience}'}}\nname: sample\n",
            "config/settings.yml": f"type: pinterest\nad_account_id: {AD_ACCOUNT_ID}\naudience_type: customer_list\n"
            "action: ADD_PEOPLE_TO_CURRENT_AUDIENCE\naudience_id: ${shop.audience}\n",
        },
    )
    assert "built-in-connector" in [finding.code for finding in check_workflow(path).findings]
    ran = init("--from", path, *options)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    for each in said:
        assert each in ran.err
    written = "".join(file.read_text() for file in folder.rglob("*.*") if file.suffix in (".dig", ".yml", ".sql"))
    for secret in ("VerySecretWord", "1/0123456789abcdef", "user:secret"):
        assert secret not in written + ran.err
    done = run(folder / "pinterest_export.dig", services, tmp_path)
    assert done.succeeded, done.log
    assert services.pinterest.members_of_audience(audience) == digests(120)


def test_a_task_that_reads_no_rows_gets_a_history_as_any_other(init: Init, folder: Path, old: Path) -> None:
    settings = TYPED.replace("add_people_to_current", "delete_current").replace("id_add_people", "id")
    path = write(old, {"old.dig": fill(f"{CONNECTED}{settings}\n")})
    assert init("--from", path).code == 0
    assert read_settings(folder)["history"] == "pinterest_history"


def test_the_task_keeps_its_engine_and_the_workflow_its_schedule(init: Init, folder: Path, old: Path) -> None:
    cron = write(old, {"old.dig": fill(OTHERS["cron"][0])})
    assert init("--from", cron, "--region", "https://api.eu01.treasuredata.com/", "--alert", "slack").code == 0
    environment = yaml.safe_load((folder / "config" / "environment.yml").read_text())
    assert environment["TD_API_SERVER"] == "https://api.eu01.treasuredata.com/"
    assert yaml.safe_load((folder / "config" / "workflow.yml").read_text())["slack"] is True
    config = load(folder / "pinterest_export.dig")
    assert (config["timezone"], config["schedule"]) == (
        "Asia/Tokyo",
        {"cron>": "0 7 * * 1-5", "skip_delayed_by": "2h"},
    )
    assert config["+export"]["engine"] == "trino"


def test_a_folder_from_several_tasks_keeps_their_options(init: Init, folder: Path, old: Path) -> None:
    text = fill(OTHERS["two tasks"][0])
    files = {"old.dig": text, "more.dig": text.replace("priority: 1", "priority: -1"), "queries/sample.sql": "SELECT 1"}
    path = write(old, files)
    assert init("--from", path, "--from", old / "more.dig", "--task", "+group+add", "--alert", "mail:a@b").code == 0
    assert load(folder / "pinterest_export.dig")["+export"]["priority"] == 1
    more = load(folder / "more.dig")["+export"]
    assert (more["priority"], more["query"], more["job_retry"]) == (-1, "queries/more_people.sql", 2)
    assert check_folder(folder) == []


ENVIRONMENT = """\
TD_API_KEY: ${secret:td.apikey}
PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}
PINTEREST_CLIENT_SECRET: ${secret:pinterest.client_secret}
PINTEREST_REFRESH_TOKEN: ${secret:pinterest.refresh_token}
"""
# The action of each workflow of 0.5, its setting for the audience's id, and the settings of a run that is like another.
ACTIONS = {
    "export": ("add_people_to_current_audience", "audience_id_add_people"),
    "remove": ("remove_people_from_current_audience", "audience_id_remove_people"),
    "replace": ("replace_current_audience", "audience_id_replace"),
    "create": ("create_new_audience", ""),
    "mirror": ("mirror_current_audience", "audience_id"),
    "clear": ("clear_current_audience", "audience_id_clear"),
    "delete": ("delete_current_audience", "audience_id_delete"),
}
SHIPPED_05 = """\
timezone: Europe/Berlin
schedule:
  daily>: 07:00:00
  skip_on_overtime: true

_export:
  !include : config/workflow.yml

[query]+query:
[query]  td>: queries/people.sql

+export:
  py>: td_pinterest_op.export.PinterestExport
[mirror]  query: queries/people.sql
[mirror]  database: ${td.database}
[lists]  suppress: queries/suppressed.sql
[lists]  consent: SELECT email FROM people WHERE number % 3 > 0
  result_settings:
    type: pinterest
    ad_account_id: ${target.ad_account_id}
    audience_type: customer_list
    history: ${history}
    action: ACTION
[id]    ID_KEY: ${target.KIND.audience_id}
[id]    expected_audience_name: ${target.KIND.audience_name}
[create]    audience_name: ${target.audience_name}
[rows]    ignore_invalid_records: true    # skip and count
[lists]    control: {percent: 40, salt: 'a $$ b'}
[mirror]    begin: replace
[mirror]    ledger: kept_ledger
[mirror]    min_records: 1
[mirror]    max_leave_ratio: 0.75
  _env:
    !include : config/environment.yml

+report:
  echo>: ${pinterest.summary}

_error:
  !include : config/failed.yml
"""


def write_version_05(old: Path, kind: str, audience: str) -> Path:
    """Write a workflow of 0.5 as that version shipped it, with lists, a control group and the files it includes."""
    action, id_key = ACTIONS[kind]
    has_rows = kind not in ("clear", "delete")
    marks = {
        "query": has_rows and kind != "mirror",
        "mirror": kind == "mirror",
        "lists": has_rows and kind != "remove",
        "id": bool(id_key),
        "create": kind == "create",
        "rows": has_rows,
    }
    text = SHIPPED_05.replace("ACTION", action).replace("ID_KEY", id_key).replace("KIND", kind)
    for mark, is_kept in marks.items():
        text = re.sub(rf"^\[{mark}\](.*\n)", r"\1" if is_kept else "", text, flags=re.MULTILINE)
    figures = "".join(f'{each}:\n  audience_id: "{audience}"\n  audience_name: Shoppers\n' for each in ACTIONS)
    return write(
        old,
        {
            f"pinterest_{kind}.dig": text,
            "config/workflow.yml": "td:\n  database: shop\ntarget:\n  !include : pinterest.yml\nhistory: runs\n"
            "docker:\n  image: treasuredata/customscript-python:3.12.11-td0\n",
            "config/pinterest.yml": f'ad_account_id: "{AD_ACCOUNT_ID}"\naudience_name: New readers\n{figures}',
            "config/environment.yml": ENVIRONMENT + "DIGDAG_ENDPOINT: https://digdag.shop.example\n",
            "config/failed.yml": "+show:\n  fail>: failed\n",
            "queries/people.sql": "SELECT email FROM people\n",
            "queries/suppressed.sql": "SELECT email FROM opt_outs\n",
        },
    )


def find_members(services: Services, name: str) -> set[str]:
    (audience,) = [each for each in services.pinterest.audiences.values() if each.name == name]
    return services.pinterest.members_of_audience(audience.id)


@pytest.mark.parametrize("kind", ACTIONS)
def test_a_workflow_of_05_becomes_a_folder_with_its_lists_its_control_group_and_its_figures(
    init: Init, folder: Path, old: Path, services: Services, kind: str
) -> None:
    audience = services.audience(["old@shop.example", *people(6)])
    ran = init("--from", write_version_05(old, kind, audience))
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    assert f"+export of {old}/pinterest_{kind}.dig" in " ".join(ran.err.split())
    action, id_key = ACTIONS[kind]
    adds = kind in ("export", "replace", "create", "mirror")
    of_mirror = {"begin": "replace", "ledger": "kept_ledger", "min_records": 1, "max_leave_ratio": "0.75"}
    assert read_settings(folder) == {
        "type": "pinterest",
        "ad_account_id": AD_ACCOUNT_ID,
        "audience_type": "customer_list",
        "history": "runs",
        "action": action,
        **({id_key: audience, "expected_audience_name": "Shoppers"} if id_key else {"audience_name": "New readers"}),
        **({"ignore_invalid_records": True} if kind not in ("clear", "delete") else {}),
        **({"control": {"percent": 40, "salt": "a $ b"}} if adds else {}),
        **(of_mirror if kind == "mirror" else {}),
        **({"suppress": "queries/suppressed.sql", "consent": "queries/consented.sql"} if adds else {}),
    }
    shared = yaml.safe_load((folder / "config" / "workflow.yml").read_text())
    image = {"image": "treasuredata/customscript-python:3.12.11-td0"}
    assert (shared["td"], shared["docker"]) == ({"database": DATABASE}, image)
    environment = yaml.safe_load((folder / "config" / "environment.yml").read_text())
    assert environment["DIGDAG_ENDPOINT"] == "https://digdag.shop.example"
    del environment["DIGDAG_ENDPOINT"]
    assert environment == yaml.safe_load(ENVIRONMENT)
    config = load(folder / "pinterest_export.dig")
    assert (config["timezone"], config["schedule"]) == (
        "Europe/Berlin",
        {"daily>": "07:00:00", "skip_on_overtime": True},
    )
    allowed = {digest(person) for number, person in enumerate(people(120)) if number % 3 and number > 1}
    (folder / "config" / "environment.yml").write_text(ENVIRONMENT)  # without a server for the tokens
    run_workflow(folder, services)
    if kind == "delete":
        assert services.pinterest.audiences[audience].removed
        return
    members = find_members(services, "New readers" if kind == "create" else "Shoppers")
    if adds:
        sent = members - {digest(person) for person in ["old@shop.example", *people(6)]}
        assert len(allowed) * 0.4 < len(sent) < len(allowed) * 0.8  # 60 % of them, but for the control group
        assert sent < allowed
        assert (members - allowed == set()) == (kind != "export")
    else:
        assert members == ({digest("old@shop.example")} if kind == "remove" else members - digests(120))


def test_a_whole_folder_of_05_becomes_a_folder_of_one_workflow_each(
    init: Init, folder: Path, old: Path, services: Services
) -> None:
    audience = services.audience()
    paths = [write_version_05(old, kind, audience) for kind in ("mirror", "remove", "create")]
    (old / "queries" / "remove_people.sql").write_text("SELECT email FROM opt_outs\n")
    remove = paths[1].read_text().replace("queries/people.sql", "queries/remove_people.sql")
    paths[1].write_text(remove)
    ran = init(*[word for path in paths for word in ("--from", path)])
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    others = ["pinterest_create", "pinterest_remove"]
    lists = [f"queries/pinterest_create_{name}.sql" for name in ("consented", "people", "suppressed")]
    assert list_files(folder) == sorted(
        [
            *CONFIGURATION,
            *(f"config/{name}.yml" for name in others),
            "pinterest_export.dig",
            *(f"{name}.dig" for name in others),
            *(f"queries/{name}.sql" for name in ("consented", "people", "suppressed")),
            *lists,
            "queries/pinterest_remove_people.sql",
        ]
    )
    assert (folder / "queries" / "pinterest_remove_people.sql").read_text() == "SELECT email FROM opt_outs\n"
    (folder / "config" / "environment.yml").write_text(ENVIRONMENT)
    for name in ("pinterest_export", *others):
        run_workflow(folder, services, name)
    assert find_members(services, "Shoppers") == find_members(services, "New readers") != set()


MANY = """\
_export:
  !include : config/workflow.yml
  !include : config/audiences.yml
+export:
  py>: td_pinterest_op.many.Many
  at_once: 2
  database: ${{td.database}}
  suppress: queries/suppressed.sql
  result_settings: {{type: pinterest, audience_type: customer_list, history: "${{history}}"}}
  _env:
    !include : config/environment.yml
"""
LIST = """\
audiences:
  - name: newsletter
    ad_account_id: "{account}"
    audience_id: "{first}"
    action: add_people_to_current_audience
    query: queries/people.sql
  - name: "half: $$"
    consent: SELECT email FROM people WHERE number < 60
    result_settings: {{ad_account_id: "{account}", audience_id: "{second}", action: replace_current_audience}}
    query: SELECT email FROM people
    engine: trino
  - {{name: out, ad_account_id: "{account}", audience_id: "{third}", action: remove_people_from_current_audience,
     segment: shop.opt_outs}}
"""


@pytest.fixture
def many(old: Path, services: Services) -> tuple[Path, list[str]]:
    """A workflow of 0.5 with a list, and the ids of its audiences."""
    audiences = [
        services.audience(name="One"),
        services.audience(name="Two"),
        services.audience(people(4), name="Three"),
    ]
    write_version_05(old, "export", audiences[0])
    first, second, third = audiences
    listed = LIST.format(account=AD_ACCOUNT_ID, first=first, second=second, third=third)
    return write(old, {"pinterest_audiences.dig": MANY.format(), "config/audiences.yml": listed}), audiences


def test_a_list_of_05_becomes_a_list_that_withholds_the_same_people(
    init: Init, folder: Path, services: Services, many: tuple[Path, list[str]]
) -> None:
    path, audiences = many
    ran = init("--from", path)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    (folder / "config" / "environment.yml").write_text(ENVIRONMENT)
    run_workflow(folder, services, "pinterest_audiences")
    assert [services.pinterest.members_of_audience(each) for each in audiences] == [
        digests(120) - digests(2),
        digests(60) - digests(2),
        digests(4) - digests(2),
    ]
    config = yaml.safe_load((folder / "config" / "audiences.yml").read_text())
    assert (config["at_once"], [each["name"] for each in config["audiences"]]) == (2, ["newsletter", "half: $$", "out"])


ACTIVATION = """\
_export:
  !include : config/workflow.yml
+export:
  py>: td_pinterest_op.activation.PinterestActivation
  later_runs: mirror
  query: queries/vip.sql
  database: ${td.database}
  suppress: queries/suppressed.sql
  consent: SELECT email FROM people
  result_settings:
    type: pinterest
    ad_account_id: ${target.ad_account_id}
    audience_type: customer_list
    begin: adopt
    max_leave_ratio: 0.5
  _env:
    !include : config/environment.yml
"""


def test_an_activation_of_05_keeps_its_lists_and_settings(
    init: Init, folder: Path, old: Path, services: Services
) -> None:
    write_version_05(old, "mirror", "7")
    query = "SELECT email FROM activation_actions_table\n"
    path = write(old, {"pinterest_activation.dig": ACTIVATION, "queries/vip.sql": query})
    ran = init("--from", old / "pinterest_mirror.dig", "--from", path)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    assert yaml.safe_load((folder / "config" / "pinterest_activation.yml").read_text()) == {
        "later_runs": "mirror",
        "result_settings": {
            "type": "pinterest",
            "ad_account_id": AD_ACCOUNT_ID,
            "audience_type": "customer_list",
            "begin": "adopt",
            "max_leave_ratio": "0.5",
            "suppress": "queries/pinterest_activation_suppressed.sql",
            "consent": "SELECT email FROM people",
        },
    }
    task = load(folder / "pinterest_activation.dig")["+export"]
    assert task["query"] == "queries/pinterest_activation_activation.sql"
    assert (folder / task["query"]).read_text() == query
    listed = "queries/pinterest_activation_suppressed.sql"
    assert (folder / listed).read_text() == (old / "queries" / "suppressed.sql").read_text()


@pytest.mark.parametrize(
    ("entry", "number", "expected"),
    [
        ("newsletter", 0, digests(120) - digests(2)),
        ("half: $", 1, digests(60) - digests(2)),
        ("out", 2, digests(4) - digests(2)),
    ],
)
def test_an_entry_of_a_list_becomes_an_export(
    init: Init,
    folder: Path,
    services: Services,
    many: tuple[Path, list[str]],
    entry: str,
    number: int,
    expected: set[str],
) -> None:
    path, audiences = many
    ran = init("--from", path, "--entry", entry)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    assert f"end the entry {entry} of {path}" in " ".join(ran.err.split())
    (folder / "config" / "environment.yml").write_text(ENVIRONMENT)
    run_workflow(folder, services)
    assert services.pinterest.members_of_audience(audiences[number]) == expected


EXPORT = "+export:\n  py>: td_pinterest_op.export.PinterestExport\n"
LISTED = "+export:\n  py>: td_pinterest_op.many.Many\n  audiences:\n    - {name: a, query: SELECT 1, SETTINGS, "
CONNECTED = "+export:\n  td>: queries/sample.sql\n  database: shop\n  result_settings: "


@pytest.mark.parametrize(
    ("text", "sql", "options", "said"),
    [
        ("+a:\n  echo>: x\n", "", "", "no task of old.dig exports to Pinterest: name another file"),
        (f"{CONNECTED}TYPED\n", "", "--task +other", "exports to Pinterest in +export: choose one with --task"),
        (OTHERS["two tasks"][0], "", "", "exports to Pinterest in +group+add, +group+remove: choose one with --task"),
        (f"{CONNECTED}\n\t  type: pinterest\n", "", "", "there is a tab here, where YAML allows none"),
        (f"{CONNECTED}TYPED\n", "SELECT ${x.y} AS email", "", "old.dig:2: the query contains a template (x.y)"),
        (f"{CONNECTED}TYPED\n", "", "--entry x", "there is no list `audiences`"),
        (
            f"{LISTED}action: remove_people_from_current_audience}}\n",
            "",
            "--entry b",
            "old.dig has no entry b: it has a",
        ),
        (f"{LISTED}refresh_token: pinr.s3cr3t}}\n", "", "", "entry a has refresh_token: credentials and connection"),
        (f"{LISTED}audience_name: '${{name}}'}}\n", "", "", "old.dig:2: audience_name contains a template (name)"),
        (
            f"{CONNECTED}{{type: pinterest, SETTINGS, action: boil}}\n",
            "",
            "",
            "no shipped workflow runs the action boil",
        ),
        (
            "_export: {day: '${session_date}'}\n"
            f"{CONNECTED}{{type: pinterest, SETTINGS, audience_name: 'A ${{day}}'}}\n",
            "",
            "",
            "audience_name contains a template (session_date), whose value only a run knows",
        ),
        (
            f"{CONNECTED}{{type: pinterest, SETTINGS, audience_name: '${{secret:x}}'}}\n",
            "",
            "",
            "a template (secret:x)",
        ),
        (f"{EXPORT}  result_settings: TYPED\n", "", "", "+export exports a job that no td> task before it runs"),
        (f"{EXPORT}  job_id: 7\n  result_settings: TYPED\n", "", "", "+export exports a job that no td> task"),
        (
            f"+q:\n  td>: queries/sample.sql\n  database: other\n{EXPORT}  database: shop\n  result_settings: TYPED\n",
            "SELECT 1",
            "",
            "become one task, but have different values for database: give both the same",
        ),
        (
            f"+q:\n  td>: queries/sample.sql\n  engine: hive\n{EXPORT}  suppress: SELECT 1\n  result_settings: TYPED\n",
            "SELECT 1",
            "",
            "become one task, but have different values for engine: give both the same",
        ),
        (f"{EXPORT}  query: SELECT 1\n  suppress: ''\n  result_settings: TYPED\n", "", "", "suppress is blank"),
        (f"{CONNECTED}TYPED\n", "SELECT 1", "--job add", "--job has no effect beside --from: leave it out"),
        (
            f"+maybe:\n  if>: ${{is_monday}}\n  _do:\n{textwrap.indent(CONNECTED, '    ')}TYPED\n",
            "SELECT 1",
            "",
            "if> decides whether, or how often, +maybe+export runs",
        ),
        (
            f"+each:\n  for_each>: {{day: [1, 2]}}\n  _do:\n{textwrap.indent(CONNECTED, '    ')}TYPED\n",
            "SELECT 1",
            "",
            "for_each> decides whether, or how often, +each+export runs",
        ),
    ],
)
def test_a_task_that_no_folder_can_repeat_is_an_error_and_nothing_is_written(
    init: Init,
    folder: Path,
    old: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    sql: str,
    options: str,
    said: str,
) -> None:
    monkeypatch.chdir(write(old, {"old.dig": fill(text), "queries/sample.sql": sql or "SELECT 1"}).parent)
    ran = init("--from", "old.dig", *options.split())
    assert said in ran.err
    assert ran.code in (1, 2)
    assert "pinr." not in ran.err
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "file"), [("pinterest_export", "pinterest_export.dig"), ("failed", "config/failed.yml")]
)
def test_a_name_that_is_taken_already_is_an_error(init: Init, folder: Path, old: Path, name: str, file: str) -> None:
    text = fill(f"{CONNECTED}TYPED\n")
    write(old, {"old.dig": text, f"{name}.dig": text, "queries/sample.sql": "SELECT 1"})
    ran = init("--from", old / "old.dig", "--from", old / f"{name}.dig")
    assert ran.failed(f"{name}.dig needs another {file} than a workflow before it")
    assert not folder.exists()


@pytest.mark.parametrize("option", ["--task", "--entry"])
def test_an_option_of_from_needs_it(init: Init, option: str) -> None:
    assert init(option, "x").failed("--task and --entry have no effect without --from: leave them out", code=2)
