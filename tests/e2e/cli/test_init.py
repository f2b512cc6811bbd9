"""`td-pinterest init`: a new folder that runs, from questions or options."""

import os
import pty
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from td_pinterest_op.cli import screen
from td_pinterest_op.cli.bundled_code import SHIPPED_WORKFLOWS_FOLDER
from td_pinterest_op.cli.lint.workflow_check import check_workflow
from td_pinterest_op.cli.project_folder import EXPORT_ACTIONS, INIT_JOBS
from tests import children
from tests.dig.config import load
from tests.dig.template import evaluate
from tests.e2e.project import ROOT, run_with_tests_dig
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digest, digests, people
from tests.unit.cli.running import Terminal

DATABASE = "shop"
OPTIONS = ("--database", DATABASE, "--query", "SELECT email FROM people")
QUERY = shlex.join(OPTIONS)
OTHER_JOBS = [name for name in INIT_JOBS if name != "export"]
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
    return [str(finding) for workflow in folder.glob("*.dig") for finding in check_workflow(workflow).findings]


def run_workflow(folder: Path, services: Services, name: str = "pinterest_export") -> None:
    (folder / "td_pinterest_op").symlink_to(ROOT / "td_pinterest_op")  # on a user's machine it is installed
    ran = run_with_tests_dig(folder / f"{name}.dig", services, folder)
    (folder / "td_pinterest_op").unlink()
    assert ran.succeeded, ran.log


def list_files(folder: Path) -> list[str]:
    """Return the workflows, queries and configuration of a folder."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in found if name.endswith((".dig", ".yml", ".sql")))


CONFIGURATION = [f"config/{name}.yml" for name in ("environment", "export", "failed", "workflow")]


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a folder's export as digdag reads them."""
    settings: dict[str, Any] = evaluate(load(folder / "config" / "export.yml"), {})
    return settings


def test_folder_for_adding_runs_without_edits_and_holds_nothing_else(
    init: Init, folder: Path, services: Services
) -> None:
    audience = services.audience()
    ran = init("--action", "add", "--audience", audience, *OPTIONS)
    assert ran.code == 0, ran.err
    assert list_files(folder) == [*CONFIGURATION, "pinterest_export.dig", "queries/people.sql"]
    assert read_settings(folder) == {
        "type": "pinterest",
        "audience_type": "customer_list",
        "ad_account_id": AD_ACCOUNT_ID,
        "action": "add_people_to_current_audience",
        "audience_id": audience,
        "expected_audience_name": "Shoppers",
        "ignore_invalid_records": True,
        "history": "pinterest_history",
    }
    run_workflow(folder, services)
    assert services.pinterest.members_of_audience(audience) == digests(120)


def test_workflow_is_the_shipped_one_but_for_its_schedule(init: Init, folder: Path, services: Services) -> None:
    shipped = (SHIPPED_WORKFLOWS_FOLDER / "pinterest_export.dig").read_text()
    options = ("--action", "clear", "--audience", services.audience())
    assert init(*options).code == 0
    assert (folder / "pinterest_export.dig").read_text() == shipped
    shutil.rmtree(folder)
    assert init(*options, "--schedule", "cron>: */15 7 * * 1", "--timezone", "Europe/Berlin").code == 0
    config = load(folder / "pinterest_export.dig")
    assert config["timezone"] == "Europe/Berlin"
    assert config["schedule"] == {"cron>": "*/15 7 * * 1", "skip_on_overtime": True}
    changed = set((folder / "pinterest_export.dig").read_text().splitlines()) ^ set(shipped.splitlines())
    assert [
        line for line in changed if not re.match("(# )?(timezone|schedule|  daily|  cron|  skip|To run)", line)
    ] == []


def test_lists_become_files_of_the_folder(init: Init, folder: Path, services: Services, tmp_path: Path) -> None:
    query = tmp_path / "opt_outs.sql"
    query.write_text("SELECT email FROM opt_outs\n")
    audience = services.audience()
    consent = ("--consent", "SELECT email FROM people WHERE email <> '$$'")
    assert init("--action", "replace", "--audience", audience, *OPTIONS, "--suppress", query, *consent).code == 0
    assert (folder / "queries" / "suppressed.sql").read_text() == "SELECT email FROM opt_outs\n"
    text = (folder / "config" / "export.yml").read_text()
    assert '\nsuppress: "queries/suppressed.sql"    # people who must not be sent\n' in text
    assert "\nmin_records: 100    # the run stops if there are fewer\n" in text
    run_workflow(folder, services)
    assert services.pinterest.members_of_audience(audience) == digests(120) - digests(2)


@pytest.mark.parametrize("job", ["create", "add", "mirror"])
def test_folder_for_an_audience_that_does_not_exist_creates_it(
    init: Init, folder: Path, services: Services, job: str
) -> None:
    name = "Spring: $$ readers"
    limit = ["--if-exists", "add"] if job == "create" else []
    query = "SELECT email FROM people WHERE email <> 'a$$b'"
    ran = init("--action", job, "--audience", f"new: {name}", "--database", DATABASE, "--query", query, *limit)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    run_workflow(folder, services)
    (audience,) = services.pinterest.audiences.values()
    assert (audience.name, services.pinterest.members_of_audience(audience.id)) == (name, digests(120))
    assert read_settings(folder).get("if_exists") == (None if job == "mirror" else "add")


def test_name_with_unusual_characters_is_checked_by_the_workflow(init: Init, folder: Path, services: Services) -> None:
    name = "no\u00a0break a\u00adb tag \U000e0041 cash $$ or $ "
    audience = services.audience(people(2), name=name)
    assert init("--action", "clear", "--audience", audience).code == 0
    assert read_settings(folder)["expected_audience_name"] == name.strip()
    run_workflow(folder, services)
    assert services.pinterest.members_of_audience(audience).isdisjoint(digests(2))


@pytest.mark.parametrize("name", ["line\nfeed", "Sale ${price}"])
def test_name_that_a_file_cannot_contain_is_told_and_left_out(
    init: Init, folder: Path, services: Services, name: str
) -> None:
    ran = init("--action", "clear", "--audience", services.audience(people(2), name=name))
    assert ran.code == 0
    assert "the workflow will not compare it" in ran.err
    assert "# expected_audience_name: left out, since" in (folder / "config" / "export.yml").read_text()
    assert "expected_audience_name" not in read_settings(folder)


@pytest.mark.parametrize("name", EXPORT_ACTIONS)
def test_folder_of_every_action_passes_check_with_its_alert_and_region(
    init: Init, folder: Path, services: Services, name: str
) -> None:
    audience = ["--audience", "Shoppers" if name == "create" else services.audience()]
    source = OPTIONS if EXPORT_ACTIONS[name].reads_rows else ()
    others = ["--alert", "mail:ops@shop.example", "--region", "https://api.eu01.treasuredata.com/"]
    ran = init("--action", name, *source, *audience, *others)
    assert (ran.code, check_folder(folder)) == (0, []), ran.err
    workflow = yaml.safe_load((folder / "config" / "workflow.yml").read_text())
    assert (workflow["mail"], workflow["td"]) == (
        {"to": ["ops@shop.example"]},
        {"database": DATABASE if source else ""},
    )
    failed = "config/failed.yml"
    assert (folder / failed).read_bytes() == (SHIPPED_WORKFLOWS_FOLDER / failed).read_bytes()
    environment = yaml.safe_load((folder / "config" / "environment.yml").read_text())
    assert environment["TD_API_SERVER"] == "https://api.eu01.treasuredata.com/"
    assert (folder / "queries" / "people.sql").exists() == bool(source)


def test_every_shipped_workflow_is_offered() -> None:
    names = {path.stem.removeprefix("pinterest_") for path in SHIPPED_WORKFLOWS_FOLDER.glob("*.dig")}
    assert names == {"export", *OTHER_JOBS}


@pytest.mark.parametrize("name", OTHER_JOBS)
def test_folder_of_another_job_has_its_shipped_files_to_fill_in(init: Init, folder: Path, name: str) -> None:
    ran = init("--job", name, *OPTIONS[:2])
    assert ran.code == 0, ran.err
    changed = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.read_bytes() != (SHIPPED_WORKFLOWS_FOLDER / path.relative_to(folder)).read_bytes()
    ]
    # The region is that of the environment.
    assert sorted(changed) == ["config/environment.yml", "config/workflow.yml"]
    assert yaml.safe_load((folder / "config" / "workflow.yml").read_text())["td"] == {"database": DATABASE}
    assert f"digdag run pinterest_{name}.dig" in ran.err
    assert "once you have filled in config/ and queries/" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--action add", "the workflow needs an audience: give --audience, its id or its name"),
        (f"--action add --audience Zebra {QUERY}", 'take people; to create it, answer "new: Zebra"'),
        ("--action create --audience New", "Database of the query and of the history: give --database"),
        ("--action delete --audience Twice --query x", "--query has no effect in the action delete"),
        ("--action remove --suppress x", "--suppress has no effect in the action remove"),
        ("--job erasure --consent x", "--consent has no effect in a workflow for the job erasure"),
        ("--job erasure --audience x", "--audience has no effect in a workflow for the job erasure"),
        ("--job status --ad-account 1", "--ad-account has no effect in a workflow for the job status"),
        (
            "--action clear --audience Shoppers --timezone Europe/Berlin",
            "--timezone has no effect without a schedule: give --schedule, or leave it out",
        ),
        ("--action add --begin adopt", "--begin has no effect in the action add"),
        ("--action replace --if-exists add", "--if-exists has no effect in the action replace"),
        (f"--action create --audience ${{x}} {QUERY}", "must be one line of text without a template"),
        (f"--action add --audience Twice {QUERY}", '2 audiences are named "Twice": give the id of one of'),
        (
            f"--action create --audience New {QUERY} --alert mail:${{x}}@x",
            "'--alert': it must be mail:ADDRESS or slack",
        ),
        (f"--action create --audience New {QUERY} --alert pager", "'--alert': it must be mail:ADDRESS or"),
        (f"--action create --audience New {QUERY} --alert mail:a@x,b@x", "with one address"),
        (
            f"--action remove --audience Visitors {QUERY}",
            'no audience "Visitors": `td-pinterest audiences` lists them; only those',
        ),
        (f"--action create --audience Twice --if-exists add {QUERY}", 'there is an audience "Twice" already'),
        (f"--action mirror --audience 'new: Shoppers' {QUERY}", "choose another name, or leave out new:"),
        (f"--action mirror --audience 'new: Zebra' {QUERY} --begin adopt", "--begin has no effect on a new audience"),
        (f"--action create --audience New {QUERY} --alert mail:@", "'--alert': it must be mail:ADDRESS or slack"),
        (
            f"--action mirror --audience Full {QUERY}",
            "People in the audience: replace them, or adopt (keep) them, also those who opted out: give --begin",
        ),
        (f"--action create --audience New {QUERY} --suppress no.sql", "no.sql of --suppress cannot be"),
        (
            f"--action create --audience New {QUERY} --suppress 'SELECT ${{x}} AS email'",
            "--suppress contains a template",
        ),
        ("--job status --schedule 'minutes_interval>: 0'", "'--schedule': it must be as in a .dig file"),
        (f"--action create --audience New {QUERY} --schedule often", "'--schedule': it must be as in a .dig file"),
        (
            f"--action create --audience New {QUERY} --schedule 'daily>: 7'",
            "'--schedule': it must be as in a .dig file",
        ),
        (f"--action create --audience New {QUERY} --schedule 'weekly>: 07:00:00'", "'--schedule': it must be as in"),
        (
            f"--action create --audience New {QUERY} --schedule 'daily>: 07:00:00' --timezone Mars",
            "'--timezone': it must be the name",
        ),
        (f"--action create --audience New {QUERY} --region eu01", "'--region': it must be an address"),
        (
            f"--action add --audience 77 {QUERY}",
            'the ad account has no audience "77": `td-pinterest audiences` lists them',
        ),
        (f"--job activation --database {DATABASE} --dry-run", "--dry-run has no effect on the job activation"),
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
    ran = init(*shlex.split(arguments))
    assert said in ran.err
    assert ran.code in (1, 2)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1; SELECT 2", "several statements"),
        ("DROP TABLE people", "query is no query"),
    ],
)
def test_a_query_that_a_run_would_refuse_is_named_once_the_folder_is_made(
    init: Init, folder: Path, services: Services, query: str, said: str
) -> None:
    ran = init("--action", "remove", "--audience", services.audience(), "--database", DATABASE, "--query", query)
    assert (ran.code, "but a run would fail: correct what is named above" in " ".join(ran.err.split())) == (1, True)
    assert said in ran.err
    assert (folder / "queries" / "people.sql").exists()


@pytest.mark.parametrize(("name", "is_one"), [("Etc/GMT+5", True), ("Etc/GMT5", False)])
def test_a_time_zone_is_compared_letter_by_letter(init: Init, services: Services, name: str, is_one: bool) -> None:
    schedule = ("--schedule", "daily>: 07:00:00", "--timezone", name)
    ran = init("--action", "clear", "--audience", services.audience(), *schedule)
    assert (ran.code, "it must be the name of a time zone" in ran.err) == ((0, False) if is_one else (2, True))


def test_dry_run_shows_the_plan_before_the_next_commands(init: Init, services: Services) -> None:
    ran = init("--action", "add", "--audience", services.audience(name="One"), *OPTIONS, "--dry-run")
    assert (ran.code, services.pinterest.calls.writes()) == (0, [])
    assert 'would add 120 records to audience "One"' in ran.out
    assert re.fullmatch(r"Next:\n(?:  \S.*\n){3}", ran.err[ran.err.index("Next:") :])


@pytest.mark.parametrize(("job", "is_kept"), [("clear", True), ("delete", False)])
def test_next_commands_do_not_show_the_audience_that_the_job_deletes(
    init: Init, services: Services, job: str, is_kept: bool
) -> None:
    audience = services.audience()
    ran = init("--action", job, "--audience", audience)
    assert (f"td-pinterest audience {audience}" in ran.err) == is_kept


@pytest.mark.parametrize("server", ["", "https://digdag.example"])
def test_next_commands_are_those_for_the_place_of_the_project(
    init: Init, folder: Path, services: Services, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setenv("DIGDAG_ENDPOINT", server)
    ran = init("--action", "clear", "--audience", services.audience())
    place = f"server {server}" if server else "td"
    assert f"{' --with digdag' if server else ''}   # then `td-pinterest authorize --to {place} audiences`" in ran.err
    assert load(folder / "config" / "environment.yml").get("DIGDAG_ENDPOINT", "") == server


def test_printed_run_command_names_a_python_that_has_the_operator(init: Init, services: Services, folder: Path) -> None:
    ran = init("--action", "clear", "--audience", services.audience())
    command = re.search(r"^  (\(cd .*\))$", ran.err, re.MULTILINE)
    assert command
    text = re.sub(r"digdag run .* -p py.python=", "", command[1]).rstrip(")") + " -c 'import td_pinterest_op')"
    assert children.run(["sh", "-c", text], cwd=folder.parent).returncode == 0


def test_init_without_questions_takes_the_audience_of_the_environment(
    init: Init, folder: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINTEREST_AUDIENCE_ID", audience := services.audience())
    assert init("--action", "clear").code == 0
    assert read_settings(folder)["audience_id"] == audience


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--action", "create"], 2), *((["--job", job], 0) for job in OTHER_JOBS)]
)
def test_audience_of_the_environment_is_ignored_by_a_job_that_uses_no_existing_audience(
    init: Init, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.setenv("PINTEREST_AUDIENCE_ID", "7")
    ran = init(*arguments, *OPTIONS[:2])
    assert (ran.code, "Name of the new audience: give --audience" in ran.err) == (code, code > 0)


def test_dry_run_without_credentials_writes_nothing(
    init: Init, folder: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TD_API_KEY")
    assert init("--action", "add", "--audience", services.audience(), *OPTIONS, "--dry-run").failed(
        "TD_API_KEY not found"
    )
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
    ran = init("--ad-account", "549755885175", "--action", "add", "--audience", audience, *OPTIONS)
    assert ran.code == code
    assert ("without credentials for Pinterest, --audience must be an id" in ran.err) == (code == 2)


def test_job_is_added_to_a_folder_and_no_file_that_is_there_is_touched(
    init: Init, folder: Path, services: Services
) -> None:
    (folder / ".git").mkdir(parents=True)
    inode = folder.stat().st_ino
    assert init("--action", "clear", "--audience", services.audience()).code == 0
    (folder / "config" / "workflow.yml").write_text("td: {database: mine}\n")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    ran = init("--job", "status", "--database", DATABASE)
    assert ran.code == 0, ran.err
    assert "Kept as they are: config/failed.yml, config/environment.yml, config/workflow.yml" in ran.err
    assert list_files(folder) == [
        *sorted([*CONFIGURATION, "config/status.yml"]),
        "pinterest_export.dig",
        "pinterest_status.dig",
    ]
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}
    assert sorted(path.name for path in folder.glob(".*")) == [".git"]
    assert folder.stat().st_ino == inode  # it may be a mounted folder


@pytest.mark.parametrize("name", ["pinterest_export.dig", "config/export.yml", "queries/people.sql"])
def test_file_of_the_job_that_exists_is_an_error(init: Init, folder: Path, services: Services, name: str) -> None:
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    ran = init("--action", "add", "--audience", services.audience(), *OPTIONS)
    assert ran.failed(f"has {name} already, and no file that exists is changed")
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / name]


@pytest.mark.parametrize("name", ["pinterest_export.dig", "config/export.yml", "queries/people.sql"])
def test_file_of_the_job_that_exists_is_an_error_before_the_ad_account_is_asked_for(
    at_terminal: Terminal, folder: Path, services: Services, name: str
) -> None:
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    assert at_terminal("init", folder, "--yes").failed(f"has {name} already")
    assert services.pinterest.calls.all() == []


def test_a_folder_that_cannot_be_made_is_an_error(at_terminal: Terminal, services: Services) -> None:
    arguments = ("--yes", "--action", "delete", "--audience", services.audience())
    assert at_terminal("init", "/dev/null/project", *arguments).failed("Not a directory")
    assert at_terminal("init", "/dev/null", *arguments).failed("/dev/null is no folder: name another")


QUERY_ANSWERS = (DATABASE, "SELECT email FROM people", "", "")
ANSWERS = [
    "export",
    "mirror",
    "549755885175",
    "{audience}",
    *QUERY_ANSWERS,
    "adopt",
    "",
    "daily>: 07:00:00",
    "UTC",
    "",
    "y",
]


@pytest.mark.parametrize("answered", range(len(ANSWERS) - 1))
def test_ctrl_c_at_a_question_leaves_no_file(
    at_terminal: Terminal, services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch, answered: int
) -> None:
    monkeypatch.setattr(screen, "is_interactive", lambda: True)
    audience = services.audience(people(150))
    answers = iter([answer.format(audience=audience) for answer in ANSWERS][:answered])
    asked = []

    def prompt(question: str, *_: object, value_proc: Callable[[str], Any] = str, **__: object) -> Any:
        asked.append(question)
        try:
            return value_proc(next(answers))
        except StopIteration:
            raise click.Abort from None

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("click.confirm", lambda question, **_: prompt(question) == "y")
    ran = at_terminal("init", folder)
    assert (ran.code, len(asked)) == (130, answered + 1)
    assert "Stopped: nothing" in ran.err
    assert not folder.exists()


def test_init_says_without_credentials_that_it_needs_ids(
    at_terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PINTEREST_REFRESH_TOKEN")
    monkeypatch.setattr(screen, "is_interactive", lambda: True)
    monkeypatch.setattr("click.prompt", _abort)
    ran = at_terminal("init", folder)
    assert "There are no credentials for Pinterest yet, so you must type the ids yourself" in ran.err


def _abort(*_: object, **__: object) -> None:
    raise click.Abort


def test_init_asks_its_questions_at_a_terminal(services: Services, folder: Path) -> None:
    audience = services.audience()
    ours, theirs = pty.openpty()
    environ = {**os.environ, **children.MEASURED, **services.environ, "DIGDAG_CONFIG_HOME": str(folder.parent)}
    command: list[str | Path] = [sys.executable, "-m", "td_pinterest_op", "init", folder]
    with children.run_in_background(
        command, cwd=ROOT, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        answers = ["", "add", "12x", "", "", "Shopper", "Shoppers", DATABASE, "no.sql"]
        answers += [
            "SELECT email\nFROM people",
            "SELECT email FROM people",
            "none.sql",
            "",
            "",
            "",
            "",
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
        "give --audience, its id or its name",
        'no audience "Shopper"',
        "no.sql of",
        "none.sql of",
        "mail:ADDRESS or slack",
        "Address of Treasure Data's API [http://",
    ):
        assert said in text
    assert "would add 120 records" in text
    assert read_settings(folder)["audience_id"] == audience


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # nobody writes any more
        return b""
