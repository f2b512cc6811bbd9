"""`td-pinterest init` and `export --write`: a new folder that runs, from questions, options or a command."""

import json
import os
import pty
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from td_pinterest_op.cli import project_folder, screen
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.workflow_kinds import KINDS
from td_pinterest_op.stats import LISTS
from tests import children, dig
from tests.campaigns import select_rows
from tests.dig import warm
from tests.dig.config import load
from tests.dig.template import evaluate
from tests.e2e.audiences import is_in_control
from tests.e2e.project import ROOT, secrets_for
from tests.emulators.environment import FAST_CLOCK
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digest, digests, people
from tests.unit.cli.running import Terminal

DATABASE = "shop"
OPTIONS = ("--database", DATABASE, "--query", "SELECT email FROM people")
QUERY = shlex.join(OPTIONS)
LIFT = (
    f"lift --audience Shoppers --database {DATABASE} --query \"SELECT * FROM people WHERE email <> '$$'\" "
    '--start 2026-11-01 --control "{percent: 12.5, salt: it\'s $$, by: Customer_id}" --conversions orders'
)
Init = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audiences"


@pytest.fixture(autouse=True)
def people_to_export(services: Services) -> None:
    services.td.create(DATABASE, "people", [{"email": person, "customer_id": "1"} for person in people(120)])
    services.td.create(DATABASE, "orders", [{"customer_id": "1", "time": 1_793_491_200, "paid": "yes"}])
    services.td.create(DATABASE, "opt_outs", [{"email": person.upper()} for person in people(2)])


@pytest.fixture
def init(at_terminal: Terminal, folder: Path) -> Init:
    """Runs `init` without questions."""
    return lambda *arguments: at_terminal("init", folder, "--yes", *arguments)


def check_folder(folder: Path) -> list[str]:
    """Return the findings of `check`."""
    return [str(finding) for workflow in folder.glob("*.dig") for finding in check_file(workflow)]


def run_workflow(folder: Path, workflow: str, services: Services) -> str:
    environ = services.environ | {"PYTHONPATH": FAST_CLOCK}
    result = dig.run(folder / workflow, secrets=secrets_for(services), environ=environ, start=warm.start)
    assert result.error is None, result.log
    return result.log


def list_files(folder: Path) -> list[str]:
    """Return the workflows, queries and configuration of a folder."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in found if name.endswith((".dig", ".yml", ".sql")))


CONFIGURATION = [f"config/{name}.yml" for name in ("environment", "failed", "pinterest", "workflow")]


def test_folder_for_adding_runs_without_edits_and_holds_nothing_else(
    init: Init, folder: Path, services: Services
) -> None:
    audience = services.audience()
    ran = init("--job", "add", "--audience", audience, *OPTIONS, "--status")
    assert ran.code == 0, ran.err
    workflows = ["pinterest_export.dig", "pinterest_status.dig"]
    assert list_files(folder) == [*CONFIGURATION, *workflows, "queries/people.sql"]
    ids = yaml.safe_load((folder / "config" / "pinterest.yml").read_text())
    assert ids == {"ad_account_id": AD_ACCOUNT_ID, "audience_id": audience}
    run_workflow(folder, "pinterest_export.dig", services)
    assert services.pinterest.members_of_audience(audience) == digests(120)
    assert "Pinterest audiences: 1 ready, 0 still being matched" in run_workflow(folder, workflows[1], services)


def test_lists_become_files_of_the_folder(init: Init, folder: Path, services: Services, tmp_path: Path) -> None:
    query = tmp_path / "opt_outs.sql"
    query.write_text("SELECT email FROM opt_outs\n")
    audience = services.audience()
    consent = ("--consent", "SELECT email FROM people WHERE email <> '$$'")
    assert init("--job", "replace", "--audience", audience, *OPTIONS, "--suppress", query, *consent).code == 0
    assert (folder / "queries" / "suppressed.sql").read_text() == "SELECT email FROM opt_outs\n"
    run_workflow(folder, "pinterest_replace.dig", services)
    assert services.pinterest.members_of_audience(audience) == digests(120) - digests(2)


def test_folder_whose_query_names_phone_has_the_library_for_it(init: Init, folder: Path) -> None:
    query = "SELECT email FROM people WHERE email <> 'Phone'"
    assert init("--job", "erase", "--database", DATABASE, "--query", query).code == 0
    assert (folder / "phonenumbers" / "__init__.py").is_file()


@pytest.mark.parametrize(("job", "workflow"), [("create", "create"), ("add", "create"), ("mirror", "mirror")])
def test_folder_for_an_audience_that_does_not_exist_creates_it(
    init: Init, folder: Path, services: Services, job: str, workflow: str
) -> None:
    name = "Spring: $$ readers"
    limit = ["--if-exists", "add"] if job == "create" else []
    query = "SELECT email FROM people WHERE email <> 'a$$b'"
    ran = init("--job", job, "--audience", f"new: {name}", "--database", DATABASE, "--query", query, *limit)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    run_workflow(folder, f"pinterest_{workflow}.dig", services)
    (audience,) = services.pinterest.audiences.values()
    assert (audience.name, services.pinterest.members_of_audience(audience.id)) == (name, digests(120))
    if job != "mirror":
        assert "    if_exists: add\n" in (folder / f"pinterest_{workflow}.dig").read_text()
        assert "a second run" not in ran.err


@pytest.mark.parametrize("name", ["no\u00a0break", "a\u00adb", "tag \U000e0041", "cash $$ or $"])
def test_name_with_unusual_characters_is_checked_by_the_workflow(
    init: Init, folder: Path, services: Services, name: str
) -> None:
    audience = services.audience(people(2), name=name)
    assert init("--job", "clear", "--audience", audience).code == 0
    run_workflow(folder, "pinterest_clear.dig", services)
    assert services.pinterest.members_of_audience(audience).isdisjoint(digests(2))


def test_several_audiences_become_one_entry_each(init: Init, folder: Path, services: Services) -> None:
    ids = [services.audience(name=name) for name in ("Same", "Same", "A\x7fb", "Other")]
    audiences = [part for each in [*ids[:3], "Other", ids[3]] for part in ("--audience", each)]
    assert init("--job", "many", *audiences, *OPTIONS).code == 0
    entries = yaml.safe_load((folder / "config" / "audiences.yml").read_text())["audiences"]
    assert [entry["name"] for entry in entries] == [*(f"audience {each}" for each in ids[:3]), "Other"]
    run_workflow(folder, "pinterest_many.dig", services)
    assert [services.pinterest.members_of_audience(each) for each in ids] == [digests(120)] * 4


def test_comparison_counts_the_groups_of_the_control_that_is_given(
    init: Init, folder: Path, services: Services
) -> None:
    people = [{"customer_id": str(number), "email": "a@shop.example"} for number in range(3000)]
    services.td.create(DATABASE, "people", people)
    audience = services.audience(name="Shoppers")
    ran = init("--job", *shlex.split(LIFT))
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    files = ["config/lift.yml", "config/pinterest.yml", "config/workflow.yml", "pinterest_lift.dig"]
    assert list_files(folder) == [*CONFIGURATION[:2], *files, "queries/control.sql", "queries/lift.sql"]
    assert yaml.safe_load((folder / "config" / "pinterest.yml").read_text()) == {"ad_account_id": AD_ACCOUNT_ID}
    withheld = sum(is_in_control(str(number), 12.5, salt="it's $$") for number in range(3000))
    log = run_workflow(folder, "pinterest_lift.dig", services)
    assert f"Pinterest audience {audience}: " in log
    assert f"of {3000 - withheld} people converted who were sent, " in log
    assert f" of {withheld} of the control group." in log


@pytest.mark.parametrize("later_runs", ["replace", "mirror"])
def test_activation_does_in_later_runs_what_is_chosen(init: Init, folder: Path, later_runs: str) -> None:
    lists = ("--suppress", "SELECT email FROM opt_outs")
    ran = init("--job", "activation", *OPTIONS[:2], "--later-runs", later_runs, *lists)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    assert (folder / "queries" / "suppressed.sql").read_text() == "SELECT email FROM opt_outs\n"
    assert f"  later_runs: {later_runs}    # what" in (folder / "pinterest_activation.dig").read_text()


@pytest.mark.parametrize("name", select_rows([name for name in KINDS if name != "lift"], quick=4))
def test_folder_of_every_job_passes_check(init: Init, folder: Path, services: Services, name: str) -> None:
    kind = KINDS[name]
    audience = ["--audience", services.audience()] if kind.names_audience else []
    audience = ["--audience", "Shoppers"] if kind.creates_audience else audience
    alert = ["--alert", "mail:ops@shop.example"]
    ran = init("--job", name, *(OPTIONS if kind.query_file else OPTIONS[:2]), *audience, *alert)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    assert "    to: [ops@shop.example]" in (folder / "config" / "failed.yml").read_text()
    (command,) = re.findall(rf"\(cd \S+ && digdag run {kind.workflow} .*\)", ran.err)
    assert ("activation_actions_table=shop.people" in command) == (name == "activation")
    assert ("-p settings_for_this_run='{\"dry_run\": true}'" in command) == (name in ("erase", "activation"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("add", "name of a new one): give --audience"),
        (f"add --audience Shopers {QUERY}", 'no audience "Shopers"; did you mean Shoppers?'),
        (f"add --audience Zebra {QUERY}", 'take people; to create it, answer "new: Zebra"'),
        ("create --audience New", "Database of the query: give --database"),
        ("create --audience New --database nowhere", "nowhere"),
        ("erase --database ../x --query 'SELECT 1'", "database must be the name of a database"),
        ("delete --audience Twice --query x", "--query has no effect in a workflow to delete"),
        ("remove --suppress x", "--suppress has no effect in a workflow to remove people"),
        ("erase --consent x", "--consent has no effect in a workflow to remove opt-outs"),
        ("erase --audience x", "--audience has no effect in a workflow to remove opt-outs"),
        ("add --begin adopt", "--begin has no effect in a workflow to add people"),
        ("add --if-exists add", "--if-exists has no effect in a workflow to add people"),
        ("add --later-runs add", "--later-runs has no effect in a workflow to add people"),
        ("add --start 2026-11-01", "--start has no effect in a workflow to add people"),
        (f"create --audience ${{x}} {QUERY}", "must be one line of text without a template"),
        (f"add --audience Twice {QUERY}", '2 audiences are named "Twice": give the id of one of'),
        (f"create --audience New {QUERY} --alert mail:${{x}}@x", "--alert must be mail:ADDRESS or slack"),
        (f"create --audience New {QUERY} --alert pager", "--alert must be mail:ADDRESS or"),
        (f"create --audience New {QUERY} --alert mail:a@x,b@x", "with one address"),
        (f"create --audience Shoppers {QUERY}", 'there is an audience "Shoppers" already'),
        (f"add --audience 'new: Zebra' {QUERY} --status", "--status needs the id of the audience"),
        (f"add --audience Visitors {QUERY}", '"Visitors" is of the type VISITOR; only CUSTOMER_LIST audiences'),
        (f"create --audience Visitors {QUERY}", 'there is an audience "Visitors" already: choose another name'),
        (f"create --audience Twice --if-exists add {QUERY}", 'there is an audience "Twice" already'),
        (f"mirror --audience 'new: Shoppers' {QUERY}", "choose another name, or leave out new:"),
        (f"mirror --audience 'new: Zebra' {QUERY} --begin adopt", "--begin has no effect on a new audience"),
        (f"create --audience New {QUERY} --alert mail:@", "--alert must be mail:ADDRESS or slack"),
        (f"add --audience Shoppers {QUERY} --ad-account 7", "the token cannot read ad account 7: it can read"),
        (f"mirror --audience Full {QUERY}", "20,538 people are in it: replace or adopt (keep) them: give --begin"),
        (f"create --audience New {QUERY} --suppress no.sql", "no.sql of --suppress cannot be"),
        (f"erase --database {DATABASE} --query 'SELECT ${{x}} AS email'", "--query contains a template"),
        (f"erase --database {DATABASE} --query 'SELECT 1; SELECT 2'", "--query has several statements"),
        (f"erase --database {DATABASE} --query 'SELECT email FROM nothing'", "nothing"),
        (f"erase --database {DATABASE} --query 'SELECT email, customer_id FROM people'", "customer_id"),
        (f"{LIFT} --control '{{percent: 10, salt: a}}'", "--control: `by` is missing, the column with the key"),
        (f"{LIFT} --control '{{percent: 60, salt: a, by: b}}'", "--control: percent: must be a number from 0.01"),
        (f"{LIFT} --control '{{percent: 9, salt: a, by: nr}}'", "--query: the query has no column nr, which"),
        (f"{LIFT} --conversions orders,key", "--conversions must be TABLE, or TABLE,KEY,TIME, such as"),
        (f"{LIFT} --conversions orders,nr,time", "nr"),
        (f"{LIFT} --conversions orders,customer_id,paid", "VARCHAR"),
        (f"{LIFT} --start yesterday", "--start must be a day, such as 2026-11-25"),
        (f"{LIFT} --dry-run", "--dry-run: a comparison sends nobody; leave it out"),
        (f"activation --database {DATABASE} --dry-run", "--dry-run: only Audience Studio starts an activation"),
    ],
)
def test_a_missing_or_wrong_answer_is_an_error_and_nothing_is_written(
    init: Init, folder: Path, services: Services, arguments: str, said: str
) -> None:
    for name in ("Twice", "Twice", "Tab\tname", "Shoppers"):
        services.audience(name=name)
    services.pinterest.add_audience("Visitors", audience_type="VISITOR")
    full = services.pinterest.add_list("Full list", members=[digest(each) for each in people(2)])
    services.pinterest.add_audience("Full", customer_list_id=full.id, size=20_538)
    ran = init("--job", *shlex.split(arguments))
    assert said in ran.err
    assert ran.code in (1, 2)
    assert not folder.exists()


@pytest.mark.parametrize(("job", "names"), [("add", ["One"]), ("many", ["One", "Two"])])
def test_dry_run_shows_the_plan_of_each_audience_before_the_next_commands(
    init: Init, services: Services, job: str, names: list[str]
) -> None:
    audiences = [part for name in names for part in ("--audience", services.audience(name=name))]
    ran = init("--job", job, *audiences, *OPTIONS, "--dry-run")
    assert (ran.code, services.pinterest.calls.writes()) == (0, [])
    for name in names:
        assert f'would add 120 records to audience "{name}"' in ran.out
    assert re.fullmatch(r"Next:\n(?:  \S.*\n){3}", ran.err[ran.err.index("Next:") :])
    # The secrets are in the environment.
    assert "reads the local digdag secrets only, which lack td.apikey, pinterest.client_id" in " ".join(ran.err.split())


def test_dry_run_of_an_erasure_counts_lists_and_removes_nobody(init: Init, services: Services) -> None:
    services.audience(people(5))
    ran = init("--job", "erase", *OPTIONS, "--dry-run")
    assert (ran.code, services.pinterest.calls.writes()) == (0, []), ran.err
    assert "would" in ran.out


def test_dry_run_without_credentials_writes_nothing(
    init: Init, folder: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TD_API_KEY")
    assert init("--job", "add", "--audience", services.audience(), *OPTIONS, "--dry-run").failed("TD_API_KEY not found")
    assert not folder.exists()


def test_init_without_a_terminal_needs_the_option_yes(at_terminal: Terminal, folder: Path) -> None:
    assert at_terminal("init", folder).failed(
        "there is no terminal to ask questions on: give every answer as an option, and use --yes", code=2
    )


@pytest.mark.parametrize(("audience", "code"), [("7", 0), ("Shoppers", 2)])
def test_without_credentials_an_audience_is_named_by_its_id(
    init: Init, monkeypatch: pytest.MonkeyPatch, audience: str, code: int
) -> None:
    monkeypatch.delenv("PINTEREST_REFRESH_TOKEN")
    ran = init("--ad-account", "549755885175", "--job", "add", "--audience", audience, *OPTIONS)
    assert "There are no credentials for Pinterest yet, so you must type the ids yourself" in ran.err
    assert ran.code == code
    assert ("there are no credentials for Pinterest: name the audience by its id" in ran.err) == (code == 2)


@pytest.mark.parametrize("command", ["init", "export"])
def test_a_folder_that_is_not_empty_is_an_error_before_anything_else(
    at_terminal: Terminal, folder: Path, services: Services, tmp_path: Path, command: str
) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    settings = tmp_path / "export.yml"
    settings.write_text("action: clear_current_audience\n")
    arguments = [folder] if command == "init" else ["--settings", settings, "--yes", "--write", folder]
    said = f"{folder} is not empty: name a new folder. To update the operator in a project folder, run `td-pinterest"
    assert at_terminal(command, *arguments).failed(said)
    assert services.pinterest.calls.all() == []


def test_a_folder_with_dot_names_alone_is_filled(init: Init, folder: Path, services: Services) -> None:
    (folder / ".git").mkdir(parents=True)
    assert init("--job", "clear", "--audience", services.audience()).code == 0
    assert (folder / "pinterest_clear.dig").exists()
    assert (folder / ".git").exists()
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".audiences")] == []


def test_an_interruption_while_the_folder_is_laid_out_leaves_nothing(
    init: Init, folder: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    audience = services.audience()
    monkeypatch.setattr(project_folder, "write_code", interrupt)
    assert init("--job", "clear", "--audience", audience).code == 130
    assert [path.name for path in folder.parent.iterdir() if "audiences" in path.name] == []


def test_a_folder_that_cannot_be_made_is_an_error(at_terminal: Terminal, services: Services) -> None:
    arguments = ("--yes", "--job", "delete", "--audience", services.audience())
    ran = at_terminal("init", "/dev/null/project", *arguments)
    assert ran.failed("/dev/null/project cannot be made (")
    assert "name another folder" in ran.err


def test_a_create_whose_name_is_taken_is_asked_about_again(
    at_terminal: Terminal, services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.audience()
    first = [AD_ACCOUNT_ID, "create", "Shoppers", "fail", "add"]
    answers = iter([*first, DATABASE, "SELECT email FROM people", "", "", ""])
    monkeypatch.setattr(screen, "is_interactive", lambda: True)
    monkeypatch.setattr("click.prompt", lambda *_, **__: next(answers))
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    ran = at_terminal("init", folder)
    assert (ran.code, 'there is an audience "Shoppers" already: choose add or replace' in ran.err) == (0, True)
    assert "    if_exists: add\n" in (folder / "pinterest_create.dig").read_text()


ANSWERS = ["549755885175", "mirror", "{audience}", "adopt", DATABASE, "SELECT email FROM people", "", "", "y", "", "y"]


@pytest.mark.parametrize("answered", range(len(ANSWERS) - 1))
def test_ctrl_c_at_a_question_leaves_no_file(
    at_terminal: Terminal, services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch, answered: int
) -> None:
    monkeypatch.setattr(screen, "is_interactive", lambda: True)
    audience = services.audience(people(150))
    answers = iter([answer.format(audience=audience) for answer in ANSWERS][:answered])
    asked = []

    def prompt(question: str, **_: object) -> str:
        asked.append(question)
        try:
            return next(answers)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("click.confirm", lambda question, **_: prompt(question) == "y")
    ran = at_terminal("init", folder)
    assert (ran.code, len(asked)) == (130, answered + 1)
    assert not folder.exists()


def test_init_asks_its_questions_at_a_terminal(services: Services, folder: Path) -> None:
    audience = services.audience()
    ours, theirs = pty.openpty()
    environ = {**os.environ, **children.MEASURED, **services.environ, "DIGDAG_CONFIG_HOME": str(folder.parent)}
    command: list[str | Path] = [sys.executable, "-m", "td_pinterest_op", "init", folder]
    with children.run_in_background(
        command, cwd=ROOT, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        answers = ["12x", "", "add", "Shopper", "Shoppers", "../x", DATABASE, "no.sql", "SELECT 1 AS one"]
        answers += [
            "SELECT email\nFROM people",
            "SELECT email FROM people",
            "none.sql",
            "SELECT customer_id AS maid FROM people",
            "",
            "",
            "n",
            "joe",
            "slack",
            "y",
        ]
        shown = b""
        while part := read_terminal(ours):
            shown += part
            if answers and shown.endswith((b": ", b"]: ")):
                answer = answers.pop(0)
                # A pasted text of several lines, whose last has no end.
                os.write(ours, (answer if "\n" in answer else f"{answer}\n").encode())
        assert process.wait(30) == 0, shown.decode()
    text = " ".join(shown.decode().split())
    for said in (
        "is one line",
        "must be an id",
        "did you mean Shoppers?",
        "no.sql of",
        "none.sql of",
        "--suppress selects maid, but the people's query selects email",
        "mail:ADDRESS or slack",
    ):
        assert said in text
    assert "there is no column email" in text
    assert "would add 120 records" in text
    ids = yaml.safe_load((folder / "config" / "pinterest.yml").read_text())
    assert ids["audience_id"] == audience


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # nobody writes any more
        return b""


def read_written_task(folder: Path) -> dict[str, Any]:
    """Return the task of the export in a folder's workflow, with what digdag fills in."""
    (workflow,) = folder.glob("*.dig")
    config = load(workflow)
    task: dict[str, Any] = evaluate(config["+export"], config["_export"])
    return task


SETTINGS: dict[str, list[Any]] = {
    "add_people_to_current_audience": [
        {"ignore_error": False, "expected_audience_name": "Shoppers"},
        {"limit_records_per_request": 2, "min_records": 3, "max_invalid_ratio": 0.25},
        {"control": {"percent": 5, "salt": 'a: "$$"'}, "dry_run": True},
        {"history": "shop.runs", "hash_in": "warehouse"},
    ],
    "remove_people_from_current_audience": [{"audience_id_remove_people": " "}, {"max_records": 1000}],
    "replace_current_audience": [
        {"expected_audience_name": "Sale $ {a}"},
        {"history": "", "expect_values": "plain", "replace_newer": True},
    ],
    "mirror_current_audience": [
        {"begin": "adopt", "min_records": 1, "ledger": "shop.led"},
        {"audience_name": "New $$", "min_records": 1, "max_leave_ratio": 0.5},
    ],
    "create_new_audience": [{"audience_name": "New", "expected_audience_name": "New"}, {"audience_name": "$$"}],
    "clear_current_audience": [{}, {"even_if_used": True}],
    "delete_current_audience": [{"even_if_used": True}],
}


@pytest.mark.parametrize(
    ("action", "others"), [(action, others) for action, each in SETTINGS.items() for others in each]
)
def test_written_workflow_has_the_settings_and_parameters_of_the_command(
    at_terminal: Terminal, services: Services, folder: Path, tmp_path: Path, action: str, others: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"action": action, "ad_account_id": AD_ACCOUNT_ID, **others}
    named = "audience_name" in others
    own = "Shoppers" if named else others.get("expected_audience_name", "Shoppers")
    audience = services.audience(members=people(2), name=own)
    if not named:
        settings["audience_id"] = audience
    task: dict[str, Any] = {"py>": "td_pinterest_op.export.PinterestExport", "result_settings": settings}
    if not action.startswith(("clear", "delete")):
        task |= {"query": "SELECT email FROM people", "database": DATABASE, "engine": "trino"}
        if not action.startswith("remove"):
            settings |= {"suppress": "SELECT email FROM opt_outs", "consent": "SELECT email FROM people -- $$"}
    file = tmp_path / "export.yml"
    file.write_text(json.dumps({"+mine": task}))
    ran = at_terminal("export", "--settings", file, "--write", folder, "--yes", "--json")
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    written = read_written_task(folder)
    of_written = written.pop("result_settings")
    for name, place, of_place in (("query", written, task), *((name, of_written, settings) for name in LISTS)):
        assert (name in place) == (name in of_place)
        if name in of_place:
            assert (folder / place.pop(name)).read_text().strip() == of_place.pop(name)
    of_written = {"audience_id" if name.startswith("audience_id") else name: of_written[name] for name in of_written}
    checked = {} if action.startswith(("add", "create")) or named else {"expected_audience_name": own}
    history = "pinterest_history" if "database" in task else ""
    shared = {"type": "pinterest", "audience_type": "customer_list", "history": history}
    expected = {key: each for key, each in {**shared, **settings, **checked}.items() if each != " "}
    # A file's decimals are text, as digdag gives them.
    assert of_written == {name: str(each) if isinstance(each, float) else each for name, each in expected.items()}
    del task["result_settings"]
    assert written == {**task, "_env": written["_env"]}


@pytest.mark.parametrize("action", ["add_people_to_current_audience", "replace_current_audience"])
def test_written_workflow_sends_the_people_of_the_command(
    at_terminal: Terminal, services: Services, folder: Path, tmp_path: Path, action: str
) -> None:
    services.td.create(DATABASE, "people", [{"email": each, "customer_id": each[:9]} for each in people(60)])
    task = {"query": 'SELECT email AS "m$ail", customer_id FROM people', "database": DATABASE}
    control = {"percent": 50, "salt": "a $$ b $", "by": "customer_id"}
    settings = {
        "action": action,
        "columns": {"m$ail": "email"},
        "control": control,
        "suppress": "SELECT email FROM people WHERE email LIKE '%1@%' AND '\r\n$$' = chr(13) || chr(10) || '$$'",
        "consent": "SELECT email FROM people WHERE email NOT LIKE '%2@%'",
        "ad_account_id": AD_ACCOUNT_ID,
        "audience_id": services.audience(),
    }
    file = tmp_path / "export.yml"
    file.write_text(json.dumps({"result_settings": settings, **task}))
    assert at_terminal("export", "--settings", file, "--yes", "--write", folder).code == 0
    (audience,) = services.pinterest.audiences.values()
    expected = services.pinterest.members_of_audience(audience.id)
    assert 0 < len(expected) < 60
    services.pinterest.lists[audience.rule["customer_list_id"]].members.clear()
    (workflow,) = folder.glob("*.dig")
    run_workflow(folder, workflow.name, services)
    assert services.pinterest.members_of_audience(audience.id) == expected


def test_a_name_with_a_template_is_not_expected_by_what_an_export_writes(
    at_terminal: Terminal, folder: Path, tmp_path: Path, services: Services
) -> None:
    audience = services.audience(people(2), name="Summer ${segment}")
    file = tmp_path / "export.yml"
    ids = f"ad_account_id: '{AD_ACCOUNT_ID}', audience_id: '{audience}'"
    file.write_text(f"{{action: replace_current_audience, {ids}}}")
    assert at_terminal("export", "--settings", file, *OPTIONS, "--dry-run", "--write", folder).code == 0
    assert "Summer" not in (folder / "config" / "pinterest.yml").read_text()


@pytest.mark.parametrize(
    ("settings", "source", "said"),
    [
        (
            "{action: create_new_audience, audience_description: '${x}'}",
            OPTIONS,
            "audience_description contains a template",
        ),
        ("action: add_people_to_current_audience", ["--job", "1"], "--write needs --query"),
        (
            "{action: add_people_to_current_audience, client_secret: x}",
            OPTIONS,
            "--write: client_secret is a secret: remove it",
        ),
        ("action: create_actalike_audience", [], "--write: none of the shipped workflows runs the action"),
    ],
)
def test_an_export_that_no_workflow_can_repeat_is_not_written(
    at_terminal: Terminal, folder: Path, tmp_path: Path, settings: str, source: list[str], said: str
) -> None:
    file = tmp_path / "export.yml"
    file.write_text(settings)
    assert at_terminal("export", "--settings", file, "--write", folder, *source).failed(said, code=2)
    assert not folder.exists()
