"""`td-pinterest init`: creates a folder that runs, from questions or options, and changes no file of the user."""

import json
import os
import pty
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.cli import project_folder, screen
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.jobs import JOBS
from td_pinterest_op.cli.lint import dig_file
from td_pinterest_op.cli.lint.settings import find_export_settings
from tests import children, dig
from tests.campaigns import select_rows
from tests.dig import warm
from tests.e2e.project import ROOT, secrets_for
from tests.emulators.environment import HURRY
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digests, people
from tests.unit.cli.running import Terminal

DATABASE = "shop"
OPTIONS = ("--database", DATABASE, "--query", "SELECT email FROM people")
Init = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audiences"


@pytest.fixture
def init(at_terminal: Terminal, folder: Path, services: Services) -> Init:
    """Runs `init` without questions, for one job and an existing audience."""
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    return lambda *arguments: at_terminal("init", folder, "--yes", *arguments)


def read_project_files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".dig", ".yml", ".sql")
    }


def check_workflow(workflow: Path) -> list[str]:
    """Return the findings of `check`, except missing packages of the Python on the PATH."""
    return [str(finding) for finding in check_file(workflow) if finding.code != "python"]


def run_workflow(folder: Path, workflow: str, services: Services) -> None:
    environ = services.environ | {"PYTHONPATH": HURRY}
    result = dig.run(folder / workflow, secrets=secrets_for(services), environ=environ, start=warm.start)
    assert result.error is None, result.log


def test_folder_for_adding_runs_without_edits(init: Init, folder: Path, services: Services) -> None:
    audience = services.audience()
    assert 0 == init("--job", "add", "--audience", audience, *OPTIONS).code
    assert {"pinterest_export.dig"} == {path.name for path in folder.glob("*.dig")}
    run_workflow(folder, "pinterest_export.dig", services)
    assert digests(5) == services.pinterest.members_of_audience(audience)


def test_suppression_and_consent_queries_become_files_of_the_folder(
    init: Init, folder: Path, services: Services, tmp_path: Path
) -> None:
    services.td.create(DATABASE, "opt_outs", [{"email": person.upper()} for person in people(2)])
    query = tmp_path / "opt_outs.sql"
    query.write_text("SELECT email FROM opt_outs\n")
    audience = services.audience()
    assert 0 == init("--job", "add", "--audience", audience, *OPTIONS, "--suppress", query).code
    assert "SELECT email FROM opt_outs\n" == (folder / "queries" / "suppressed.sql").read_text()
    run_workflow(folder, "pinterest_export.dig", services)
    assert digests(5) - digests(2) == services.pinterest.members_of_audience(audience)


def test_init_writes_the_name_of_a_new_audience(init: Init, folder: Path, services: Services) -> None:
    assert 0 == init("--job", "create", "--audience", "Spring: readers", *OPTIONS).code
    run_workflow(folder, "pinterest_create.dig", services)
    assert ["Spring: readers"] == [audience.name for audience in services.pinterest.audiences.values()]


def test_audiences_without_a_name_of_their_own_are_named_by_their_id(
    init: Init, folder: Path, services: Services
) -> None:
    ids = [services.audience(name=name) for name in ("Same", "Same", "A\x7fb", "Tab\tname", "Other")]
    assert 0 == init("--job", "many", *(part for each in ids for part in ("--audience", each)), *OPTIONS).code
    entries = re.findall(r"- name: (.*)", (folder / "config" / "audiences.yml").read_text())
    assert [*(f'"audience {each}"' for each in ids[:4]), '"Other"'] == entries
    run_workflow(folder, "pinterest_many.dig", services)
    assert [digests(5)] * 5 == [services.pinterest.members_of_audience(each) for each in ids]


@pytest.mark.parametrize("name", ["no\u00a0break", "a\u00adb", "tag \U000e0041"])
def test_name_with_invisible_characters_is_checked_by_the_workflow(
    init: Init, folder: Path, services: Services, name: str
) -> None:
    audience = services.audience(people(2), name=name)
    assert 0 == init("--job", "clear", "--audience", audience).code
    run_workflow(folder, "pinterest_clear.dig", services)
    assert digests(2).isdisjoint(services.pinterest.members_of_audience(audience))


def test_several_audiences_become_one_entry_each(init: Init, folder: Path, services: Services) -> None:
    ids = [services.audience(name=name) for name in ("One", "Two")]
    assert 0 == init("--job", "many", "--audience", ids[0], "--audience", "Two", "--audience", "One", *OPTIONS).code
    run_workflow(folder, "pinterest_many.dig", services)
    assert [digests(5)] * 2 == [services.pinterest.members_of_audience(each) for each in ids]


@pytest.mark.parametrize("name", select_rows([*JOBS], quick=4))
def test_folder_of_every_job_passes_check(init: Init, folder: Path, services: Services, name: str) -> None:
    job = JOBS[name]
    audience = ["--audience", services.audience()] if job.ids or name == "many" else []
    audience = ["--audience", "Shoppers"] if job.creates_audience else audience
    alert = ["--alert", "mail:ops@shop.example"]
    given = [*(OPTIONS if job.query else OPTIONS[:2] if job.takes_lists else ()), *audience, *alert]
    ran = init("--job", name, *given)
    assert (0, []) == (ran.code, check_workflow(folder / job.workflow)), ran.err
    assert 'to: ["ops@shop.example"]' in (folder / "config" / "failed.yml").read_text()
    assert f"digdag run {job.workflow}" in ran.err


def test_a_second_call_keeps_files_that_somebody_changed(init: Init, folder: Path, services: Services) -> None:
    _, one, two = (services.audience(name=name) for name in ("Other", "One", "Two"))
    assert 0 == init("--job", "add", "--audience", one, *OPTIONS).code
    (folder / "queries" / "people.sql").write_text("SELECT email FROM people -- mine\n")
    before = read_project_files(folder)
    ran = init("--job", "add", "--audience", two, *OPTIONS)
    assert before == read_project_files(folder)
    assert (
        "left unchanged, because they were filled in or changed before: config/pinterest.yml, "
        "queries/people.sql. They differ" in ran.err
    )
    assert f"td-pinterest audience {one} " in ran.err
    assert 0 == init("--job", "replace", "--audience", two, *OPTIONS).code
    after = read_project_files(folder)
    assert {"pinterest_export.dig", "pinterest_replace.dig"} <= after.keys()
    assert f'replace:\n  audience_id: "{two}"\n  audience_name: "Two"' in after["config/pinterest.yml"]
    assert f'audience_id: "{one}"' in after["config/pinterest.yml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--job", "add"], "Audience (its id, or its name): give --audience"),
        (["--job", "add", "--audience", "Nobody", *OPTIONS], 'has no audience "Nobody"'),
        (["--job", "create", "--audience", "New"], "Database of the query: give --database"),
        (["--job", "erase", "--database", "../x", "--query", "SELECT 1"], "--database: database must be the name of"),
        (["--job", "delete", "--audience", "Twice", "--query", "x"], "--query has no effect in a workflow to delete"),
        (["--job", "clear", "--database", "x"], "--database has no effect in a workflow to remove everybody"),
        (["--job", "remove", "--suppress", "x"], "--suppress has no effect in a workflow to remove people"),
        (["--job", "erase", "--consent", "x"], "--consent has no effect in a workflow to remove opt-outs"),
        (["--job", "erase", "--audience", "x"], "--audience has no effect in a workflow to remove opt-outs"),
        (["--job", "create", "--audience", "${x}", *OPTIONS], "must be one line of text without a template"),
        (["--job", "create", "--audience", "a\nb", *OPTIONS], "must be one line of text without a template"),
        (["--job", "clear", "--audience", "Tab\tname"], "a workflow cannot check the name of audience"),
        (
            ["--job", "create", "--audience", "New", *OPTIONS, "--alert", "mail:${secret:td.apikey}@x"],
            "--alert contains a template",
        ),
        (
            ["--job", "create", "--audience", "New", *OPTIONS, "--alert", "pager"],
            "--alert must be mail:ADDRESS or slack",
        ),
        (["--job", "create", "--audience", "New", *OPTIONS, "--suppress", "no.sql"], "no.sql of --suppress cannot be"),
        (
            ["--job", "add", "--audience", "Twice", *OPTIONS],
            '2 audiences are named "Twice": give the id of one of them',
        ),
        (["--job", "erase", "--database", "x", "--query", "SELECT ${x} AS email"], "--query contains a template"),
    ],
)
def test_a_missing_or_wrong_answer_is_an_error_and_nothing_is_written(
    init: Init, folder: Path, services: Services, arguments: list[str], said: str
) -> None:
    for name in ("Twice", "Twice", "Tab\tname"):
        services.audience(name=name)
    ran = init(*arguments)
    assert said in ran.err
    assert ran.code in (1, 2)
    assert not (folder / "queries").exists()


@pytest.mark.parametrize(("job", "names"), [("add", ["One"]), ("many", ["One", "Two"])])
def test_dry_run_shows_the_plan_of_each_audience_before_the_next_commands(
    init: Init, services: Services, job: str, names: list[str]
) -> None:
    audiences = [part for name in names for part in ("--audience", services.audience(name=name))]
    ran = init("--job", job, *audiences, *OPTIONS, "--dry-run")
    assert (0, []) == (ran.code, services.pinterest.calls.writes())
    for name in names:
        assert f'would add 5 records to audience "{name}"' in ran.out
    assert re.fullmatch(r"Next:\n(?:  \S.*\n){3}", ran.err[ran.err.index("Next:") :])


def test_a_dry_run_reads_the_query_that_the_folder_has(init: Init, folder: Path, services: Services) -> None:
    options = ("--job", "add", "--audience", services.audience(), *OPTIONS)
    assert 0 == init(*options).code
    (folder / "queries" / "people.sql").write_text("SELECT email FROM people LIMIT 3\n")
    assert "would add 3 records" in init(*options, "--dry-run").out


def test_without_a_key_for_treasure_data_nobody_is_asked_for_a_dry_run(
    at_terminal: Terminal, services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TD_API_KEY")
    monkeypatch.setattr(screen, "is_interactive", lambda: True)
    answers = iter([answer.format(audience=services.audience()) for answer in ANSWERS[:-1]])
    monkeypatch.setattr("click.prompt", lambda *_, **__: next(answers))
    monkeypatch.setattr("click.confirm", None)
    assert (0, []) == (at_terminal("init", folder).code, list(answers))


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
    assert (code, code == 2) == (
        ran.code,
        "there are no credentials for Pinterest: name the audience by its id" in ran.err,
    )


def test_a_folder_that_cannot_be_laid_out_is_an_error(
    init: Init, folder: Path, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ("--job", "delete", "--audience", services.audience())
    folder.mkdir()
    (folder / "td_pinterest_op").write_text("")
    ran = init(*arguments)
    assert ran.failed(f"{folder} cannot be created ({folder / 'td_pinterest_op'}: File exists)")
    assert "Traceback" not in ran.err
    monkeypatch.setattr(project_folder, "ROOT", tmp_path)
    assert init(*arguments).failed("`init` needs a checkout of td_pinterest_op")


def test_a_configuration_without_the_key_of_the_audience_is_an_error(
    init: Init, folder: Path, services: Services
) -> None:
    arguments = ("--job", "delete", "--audience", services.audience())
    assert 0 == init(*arguments).code
    (folder / "config" / "pinterest.yml").write_text("ad_account_id: '1'\n")
    assert init(*arguments).failed("a file in config has no key delete.audience_id, to which init writes an answer")


ANSWERS = ["549755885175", "add", "{audience}", DATABASE, "SELECT email FROM people", "", "", "", "y"]


@pytest.mark.parametrize("answered", range(len(ANSWERS)))
def test_ctrl_c_at_a_question_leaves_no_file(
    at_terminal: Terminal, services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch, answered: int
) -> None:
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    monkeypatch.setattr(screen, "is_interactive", lambda: True)
    audience = services.audience()
    answers = iter([answer.format(audience=audience) for answer in ANSWERS][:answered])
    asked = []

    def prompt(question: str, **_: object) -> str:
        asked.append(question)
        try:
            return next(answers)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("click.confirm", lambda question, **_: "y" == prompt(question))
    ran = at_terminal("init", folder)
    assert (130, answered + 1) == (ran.code, len(asked))
    assert not folder.exists()


def test_init_asks_its_questions_at_a_terminal(services: Services, folder: Path) -> None:
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    audience = services.audience()
    ours, theirs = pty.openpty()
    environ = {**os.environ, **children.MEASURED, **services.environ, "DIGDAG_CONFIG_HOME": str(folder)}
    command: list[str | Path] = [sys.executable, "-m", "td_pinterest_op", "init", folder]
    with children.run_in_background(
        command, cwd=ROOT, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        answers = ("12x", "", "add", "Nobody", "Shoppers", "../x", DATABASE, "no.sql", "SELECT email FROM people")
        os.write(ours, "\n".join((*answers, "none.sql", "", "", "joe", "slack", "y", "")).encode())
        shown = b""
        while part := read_terminal(ours):
            shown += part
        assert 0 == process.wait(30), shown.decode()
    for said in ("must be an id", 'has no audience "Nobody"', "no.sql of", "none.sql of", "mail:ADDRESS or slack"):
        assert said in " ".join(shown.decode().split())
    assert b"would add 5 records" in shown
    assert f'audience_id: "{audience}"' in (folder / "config" / "pinterest.yml").read_text()


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # nobody writes any more
        return b""


def test_export_with_write_creates_a_workflow_that_runs(
    at_terminal: Terminal, services: Services, folder: Path, tmp_path: Path
) -> None:
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    audience, settings, query = services.audience(), tmp_path / "export.yml", tmp_path / "people.sql"
    settings.write_text(
        "ad_account_id: '549755885175'\naction: add_people_to_current_audience\n"
        "limit_records_per_request: 2\nmin_records: 3\n"
    )
    query.write_text("SELECT email FROM people\n")
    given = ["--settings", settings, "--audience", audience, "--write", folder, "--yes", "--json"]
    ran = at_terminal("export", *given, "--query", query, "--database", DATABASE)
    assert (0, 5) == (ran.code, json.loads(ran.out)["records"]["sent"])
    text = (folder / "pinterest_export.dig").read_text()
    assert "    audience_type: customer_list\n    limit_records_per_request: 2\n    min_records: 3\n" in text
    assert [] == check_workflow(folder / "pinterest_export.dig")
    run_workflow(folder, "pinterest_export.dig", services)


@pytest.mark.parametrize(
    ("action", "others", "added"),
    [
        ("add_people_to_current_audience", {}, {}),
        ("add_people_to_current_audience", {"ignore_error": False, "expected_audience_name": "Shoppers"}, {}),
        ("add_people_to_current_audience", {"audience_id_replace": "1"}, {}),
        ("add_people_to_current_audience", {"control": {"percent": 5, "salt": 'a: "b"'}, "dry_run": True}, {}),
        ("remove_people_from_current_audience", {}, {"expected_audience_name": "Shoppers"}),
        ("replace_current_audience", {"history": ""}, {"expected_audience_name": "Shoppers"}),
        ("mirror_current_audience", {"audience_name": "New", "min_records": 1}, {}),
        (
            "mirror_current_audience",
            {"begin": "adopt", "min_records": 1, "ledger": "shop.led"},
            {"expected_audience_name": "Shoppers"},
        ),
        ("create_new_audience", {"audience_name": "New", "expected_audience_name": "New"}, {}),
        ("clear_current_audience", {}, {"expected_audience_name": "Shoppers"}),
        ("delete_current_audience", {"even_if_used": True}, {"expected_audience_name": "Shoppers"}),
        ("delete_current_audience", {"tab in name": True}, {}),
    ],
)
def test_written_workflow_has_the_settings_of_the_command_and_the_name_of_its_audience(
    at_terminal: Terminal,
    services: Services,
    folder: Path,
    tmp_path: Path,
    action: str,
    others: dict[str, Any],
    added: dict[str, Any],
) -> None:
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    settings: dict[str, Any] = {"action": action, "ad_account_id": AD_ACCOUNT_ID, **others}
    name = "Tab\tname" if settings.pop("tab in name", False) else "Shoppers"  # no setting can have the first
    if "audience_name" not in others:
        settings["audience_id"] = services.audience(members=people(2), name=name)
    task: dict[str, Any] = {"result_settings": settings}
    if not action.startswith(("clear", "delete")):
        task |= {"query": "SELECT email FROM people", "database": DATABASE}
    file = tmp_path / "export.yml"
    file.write_text(json.dumps(task))
    ran = at_terminal("export", "--settings", file, "--write", folder, "--yes", "--json")
    assert 0 == ran.code, ran.err
    [workflow] = folder.glob("*.dig")
    assert [] == check_workflow(workflow)
    [written] = find_export_settings(dig_file.read_workflow(workflow))
    written = {"audience_id" if name.startswith("audience_id") else name: value for name, value in written.items()}
    settings.pop("audience_id_replace", None)  # the action does not use it
    shared = {"type": "pinterest", "audience_type": "customer_list", "history": "pinterest_history"}
    assert {**shared, **settings, **added} == written


def test_written_workflow_sends_the_people_of_the_command(
    at_terminal: Terminal, services: Services, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    services.td.create(DATABASE, "opt_outs", [{"email": person} for person in people(2)])
    audience, file = services.audience(), tmp_path / "export.yml"
    (tmp_path / "people.sql").write_text("SELECT email FROM people\n")
    (tmp_path / "opt_outs.sql").write_text("SELECT email FROM opt_outs\n")
    file.write_text(
        "result_settings: {action: replace_current_audience, hash_in: warehouse}\nengine: trino\n"
        f"query: people.sql\nsuppress: opt_outs.sql\ndatabase: {DATABASE}\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = ("--settings", file, "--audience", audience, "--ad-account", AD_ACCOUNT_ID, "--write", folder, "--yes")
    assert 0 == at_terminal("export", *arguments, "--dry-run").code
    assert set() == services.pinterest.members_of_audience(audience)
    run_workflow(folder, "pinterest_replace.dig", services)
    assert digests(5) - digests(2) == services.pinterest.members_of_audience(audience)
    workflow = folder / "pinterest_replace.dig"
    assert '  engine: "trino"\n' in workflow.read_text()
    workflow.write_text(workflow.read_text().replace("  py>:", "\tpy>:"))
    ran = at_terminal("export", *arguments)
    assert (1, True) == (ran.code, "pinterest_replace.dig, but it would fail" in ran.err)


@pytest.mark.parametrize(
    ("more", "query", "kept"),
    [
        ("", "SELECT email FROM people", ""),
        (", dry_run: true", "SELECT email FROM people", "pinterest_export.dig"),
        ("", "SELECT email FROM people\nWHERE true", "queries/people.sql"),
    ],
)
def test_second_write_names_the_files_that_differ_from_its_command(
    at_terminal: Terminal, services: Services, folder: Path, tmp_path: Path, more: str, query: str, kept: str
) -> None:
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    file, audience = tmp_path / "export.yml", services.audience()
    for others, sql in ((more, query), ("", "SELECT email FROM people")):
        file.write_text(f"{{action: add_people_to_current_audience, ad_account_id: '{AD_ACCOUNT_ID}'{others}}}")
        arguments = ("--settings", file, "--audience", audience, "--query", sql, "--database", DATABASE)
        ran = at_terminal("export", *arguments, "--write", folder, "--yes")
        assert 0 == ran.code, ran.err
    assert (bool(kept), True) == ("left unchanged" in ran.err, f"before: {kept}. They" * bool(kept) in ran.err)


def test_written_removal_leaves_out_the_list_that_it_does_not_use(
    at_terminal: Terminal, services: Services, folder: Path, tmp_path: Path
) -> None:
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    file = tmp_path / "export.yml"
    file.write_text(f"{{action: remove_people_from_current_audience, ad_account_id: '{AD_ACCOUNT_ID}'}}")
    query, arguments = "SELECT email FROM people", ("--settings", file, "--audience", services.audience(people(5)))
    ran = at_terminal(
        "export", *arguments, "--query", query, "--suppress", query, "--database", DATABASE, "--write", folder, "--yes"
    )
    assert (0, []) == (ran.code, check_workflow(folder / "pinterest_remove.dig")), ran.err
    assert not (folder / "queries" / "suppressed.sql").exists()


@pytest.mark.parametrize(
    ("if_exists", "is_refused"), [("", True), ("fail", True), ("Fail", True), ("replace", False), ("add", False)]
)
def test_next_commands_say_whether_a_second_run_is_refused(
    at_terminal: Terminal, services: Services, folder: Path, tmp_path: Path, if_exists: str, is_refused: bool
) -> None:
    services.td.create(DATABASE, "people", [{"email": person} for person in people(5)])
    settings = {"action": "create_new_audience", "ad_account_id": AD_ACCOUNT_ID, "audience_name": "New"}
    file = tmp_path / "export.yml"
    file.write_text(json.dumps({**settings, "if_exists": if_exists}))
    arguments = ("--settings", file, "--query", "SELECT email FROM people", "--database", DATABASE)
    ran = at_terminal("export", *arguments, "--write", folder, "--yes")
    assert (0, is_refused) == (ran.code, "a second run" in ran.err), ran.err


@pytest.mark.parametrize(
    ("settings", "source", "said"),
    [
        (
            "{action: add_people_to_current_audience, audience_description: '${x}'}",
            ["--query", "SELECT 1 AS email", "--database", DATABASE],
            "--write: audience_description contains a template",
        ),
        ("action: add_people_to_current_audience", ["--job", "1"], "--write needs --query"),
        (
            "{action: add_people_to_current_audience, client_secret: x}",
            ["--query", "SELECT 1 AS email", "--database", DATABASE],
            "--write: client_secret is a secret: remove it from the settings",
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
