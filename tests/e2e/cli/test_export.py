"""`td-pinterest export`: a job, a query or a CSV file, with the plan, the question and the figures."""

import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests import children
from tests.campaigns import select_rows
from tests.clock import FakeTime
from tests.e2e.audiences import is_in_control
from tests.e2e.project import ROOT
from tests.emulators.environment import FAST_CLOCK
from tests.emulators.pinterest import AD_ACCOUNT_ID, When
from tests.exporting import Services, digest, digests, people
from tests.unit.cli.running import Ran, Recorded, Terminal

Export = Callable[..., Ran]


@pytest.fixture
def settings(tmp_path: Path, services: Services) -> Path:
    """A settings file that adds people to an audience and ignores invalid rows."""
    file = tmp_path / "export.yml"
    file.write_text(
        f"ad_account_id: '549755885175'\naction: add_people_to_current_audience\naudience_id: '{services.audience()}'\n"
        "ignore_invalid_records: true\n"
    )
    return file


@pytest.fixture
def export(at_terminal: Terminal, settings: Path) -> Export:
    """`td-pinterest export` by these settings, as a function of its other arguments."""
    return partial(at_terminal, "export", "--settings", settings)


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """Five people, one of them twice and one without an address."""
    file = tmp_path / "people.csv"
    file.write_text("email\n" + "\n".join([*people(4), *people(1), "nobody"]) + "\n")
    return file


def _audience(services: Services) -> str:
    return next(iter(services.pinterest.audiences))


def _members(services: Services) -> set[str]:
    return services.pinterest.members_of_audience(_audience(services))


def test_export_of_a_csv_file_prints_plan_and_statistics(
    export: Export, compare_golden: Recorded, services: Services, csv_file: Path
) -> None:
    compare_golden(export("--csv", csv_file, "--yes"), "export")
    assert _members(services) == digests(4)


def test_dry_run_shows_the_plan_and_writes_nothing(
    export: Export, compare_golden: Recorded, services: Services, csv_file: Path
) -> None:
    compare_golden(export("--csv", csv_file, "--dry-run"), "export_dry_run")
    assert _members(services) == set()
    assert services.pinterest.calls.writes() == []


def test_mirror_shows_its_statements_and_figures(
    export: Export, services: Services, settings: Path, tmp_path: Path
) -> None:
    settings.write_text(settings.read_text().replace("add_people_to", "mirror"))
    services.td.create_people("sandbox", people(120))
    (tmp_path / "people.sql").write_text("SELECT email FROM people\n")
    query = ("--query", tmp_path / "people.sql", "--database", "sandbox")
    planned = export(*query, "--dry-run")
    assert (planned.code, services.pinterest.calls.writes()) == (0, [])
    assert "compare the people with the ledger" in planned.err
    assert "120 people, 0 known members; all members replaced by 120 people" in planned.err
    assert export(*query, "--yes").code == 0
    assert _members(services) == digests(120)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: its first line must be the names of the columns"),
        (
            b"jane@shop.example,+4917012345678\n",
            "has no column of identifiers: its first line must contain one of these names (email, ",
        ),
        (
            "email\na".encode("utf-16") + b"\x00\xd8\x00",
            "contains bytes that are not UTF-16: save it again as UTF-8. Nothing was sent",
        ),
        (b"email,maid\n\nonly one\n", "people.csv has 1 field, but the header has 2: nothing was sent"),
        (b'email\n"' + b"x\n" * 70_000, "line 2 of the file {}/people.csv cannot be read as CSV: field larger than"),
        (b'email\n"two\nlines"\n\n"open\nat the end\n', "line 5 of the file"),
        (b'email\n"a" b\n', "people.csv cannot be read as CSV: ',' expected after '\"'; nothing was sent"),
        (
            gzip.compress(b"email\n", mtime=0) + b"jane",
            "data is damaged, cut off, or followed by other data; not",
        ),
        (gzip.compress(b"email\n" + b"x" * 100, mtime=0)[:-12], "its compressed data is damaged, cut off"),
        (gzip.compress(b"email\n", mtime=0)[:10] + b"\xff", "its compressed data is damaged"),
        (None, "people.csv cannot be opened: No such file or directory"),
    ],
)
def test_an_unusable_csv_file_is_an_error_and_nothing_is_sent(
    export: Export, services: Services, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "people.csv"
    if content is not None:
        file.write_bytes(content)
    assert export("--csv", file, "--yes").failed(said.format(tmp_path))
    assert services.pinterest.calls.writes() == []


def test_a_value_that_is_not_utf_8_is_counted_as_invalid(export: Export, services: Services, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes("email\njürgen@shop.example\n".encode() + b"j\xfcrgen@shop.example\n")
    ran = export("--csv", file, "--yes", "--json")
    assert json.loads(ran.out)["rows"]["invalid_by_reason"]["bad_encoding"] == 1


def test_columns_without_identifiers_are_ignored_with_one_message(
    export: Export, services: Services, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"Name;E-Mail;Land\nJane;{people(1)[0]};DE\n;;\n")
    ran = export("--csv", file, "--yes", "--json")
    assert ((got := json.loads(ran.out))["rows"]["read"], got["records"]["sent"]) == (1, 1)
    assert 'Reading the column "E-Mail" as email of people.csv; 2 other columns left out' in ran.err


def test_column_option_selects_the_column_to_read(export: Export, services: Services, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"email,kontakt\nother@shop.example,{people(1)[0]}\n")
    assert export("--csv", file, "--column", "kontakt", "--yes").code == 0
    assert _members(services) == digests(1)
    assert export("--csv", file, "--column", "contact", "--yes").failed("has no column contact, which --column names")


@pytest.mark.parametrize("options", [[], ["--column", "email"]])
def test_csv_file_provides_the_column_of_the_control_group(
    export: Export, settings: Path, services: Services, tmp_path: Path, options: list[str]
) -> None:
    rows = [(person, f"C-{number}") for number, person in enumerate(people(40))]
    file = tmp_path / "people.csv"
    file.write_text("email;Kundennummer;Land\n" + "".join(f"{person};{key};DE\n" for person, key in rows))
    with settings.open("a") as more:
        more.write("control: {percent: 50, salt: spring, by: kundennummer}\n")
    ran = export("--csv", file, *options, "--yes")
    assert (ran.code, '"Kundennummer"' in ran.err) == (0, True)
    sent = {digest(person) for person, key in rows if not is_in_control(key, 50)}
    assert sent == _members(services)


def test_export_accepts_a_job_or_a_query(export: Export, services: Services, tmp_path: Path) -> None:
    job = services.job(people(3))
    assert job == json.loads(export("--job", job, "--yes", "--json").out)["job_id"]
    services.td.create_people("shop", people(4))
    query = tmp_path / "people.sql"
    query.write_text("SELECT email FROM people")
    ran = export("--query", query, "--database", "shop", "--yes", "--json")
    assert (ran.code, json.loads(ran.out)["records"]["sent"]) == (0, 4)


def write_task_file(settings: Path, **siblings: str) -> None:
    """Rewrite a settings file as the parameters of a whole task."""
    lines = [f"{name}: {value}\n" for name, value in siblings.items()]
    settings.write_text("result_settings:\n" + textwrap.indent(settings.read_text(), "  ") + "".join(lines))


PEOPLE = "SELECT email FROM people"
LISTS = {"suppress": f"SELECT '{people(1)[0].upper()}' AS email", "consent": "SELECT email FROM people LIMIT 3"}
OPTIONS = ["--suppress", LISTS["suppress"], "--consent", LISTS["consent"]]


@pytest.mark.parametrize(
    ("siblings", "options"),
    [
        ({"query": PEOPLE, **LISTS}, []),
        ({"job_id": "'{job}'", **LISTS}, []),
        (LISTS, ["--csv", "{csv}"]),
        ({}, ["--query", PEOPLE, *OPTIONS]),
        # The options win.
        (dict.fromkeys(("query", *LISTS), "SELECT nothing"), ["--job", "{job}", *OPTIONS]),
    ],
)
def test_people_who_opted_out_or_do_not_consent_are_not_sent(
    export: Export, services: Services, settings: Path, csv_file: Path, siblings: dict[str, str], options: list[str]
) -> None:
    services.td.create_people("shop", people(4))
    places = {"job": services.job(people(4)), "csv": csv_file}
    filled = {name: text.format(**places) for name, text in siblings.items()}
    write_task_file(settings, database="shop", **filled)
    ran = export("--yes", "--json", *(option.format(**places) for option in options))
    assert ran.code == 0, ran.err
    counts = json.loads(ran.out)["records"]["withheld"]
    assert (counts["suppressed"], counts["without_consent"]) == (1, 1)
    assert _members(services) == digests(2, first=1)


@pytest.mark.parametrize(
    ("siblings", "said"),
    [
        ({"supress": "SELECT 1"}, "supress. Allowed there: query, database, "),
        ({"py>": "td_pinterest_op.erase.PinterestErase"}, "that an export does not accept: py>. Allowed there"),
        ({"suppress": ""}, "suppress of the task is blank"),
    ],
)
def test_parameters_next_to_the_settings_are_used_or_an_error(
    export: Export, services: Services, settings: Path, csv_file: Path, siblings: dict[str, str], said: str
) -> None:
    write_task_file(settings, **siblings)
    assert export("--csv", csv_file, "--yes").failed(said)
    assert services.pinterest.calls.writes() == []


def test_lists_need_the_key_of_treasure_data_even_with_a_csv_file(
    export: Export, csv_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TD_API_KEY")
    file = tmp_path / "opted_out.sql"
    file.write_text("SELECT 1")
    ran = export("--csv", csv_file, "--suppress", file, "--database", "shop", "--yes")
    assert ran.failed("TD_API_KEY not found")


def test_export_without_a_terminal_requires_the_option_yes_before_the_query_runs(
    export: Export, services: Services, csv_file: Path
) -> None:
    services.td.create_people("shop", people(4))
    for source in (["--csv", csv_file], ["--query", "SELECT email FROM people", "--database", "shop"]):
        assert export(*source).failed("use --yes to continue without it", code=2)
    assert (services.pinterest.calls.all(), services.td.requests) == ([], [])


def test_blank_opt_outs_are_wrong_usage_and_nothing_is_sent(
    export: Export, services: Services, csv_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "opted_out.sql"
    file.write_text("\n")
    for option in ("--suppress", "--consent"):
        assert export("--csv", csv_file, "--yes", "--database", "shop", option, "").failed(f"'{option}'", code=2)
        assert export("--csv", csv_file, "--yes", "--database", "shop", option, file).failed(f"of {option} is blank")
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give exactly one of --job ID"),
        (["--job", "1", "--csv", "x.csv"], "give exactly one of --job ID"),
        (["--job", "1", "--column", "email"], "--column is used only with --csv"),
        (["--csv", "x.csv", "--engine", "hive"], "--engine has no effect without --query"),
        (["--csv", "x.csv", "--database", "shop"], "--database has no effect without --query"),
    ],
)
def test_another_number_of_sources_or_an_option_without_effect_is_wrong_usage(
    export: Export, arguments: list[str], said: str
) -> None:
    assert export(*arguments).failed(said, code=2)


def test_action_without_rows_needs_neither_source_nor_treasure_data_key(
    at_terminal: Terminal, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audience = services.audience(people(2))
    monkeypatch.delenv("TD_API_KEY")
    file = tmp_path / "clear.yml"
    file.write_text(f"action: clear_current_audience\nad_account_id: '{AD_ACCOUNT_ID}'\n")
    said = "the action in the settings reads no rows: leave out --job, --query and --csv"
    assert at_terminal("export", "--settings", file, "--job", "1").failed(said, code=2)
    ran = at_terminal("export", "--settings", file, "--audience", audience, "--yes")
    assert ran.code == 0, ran.err
    assert digests(2).isdisjoint(services.pinterest.members_of_audience(audience))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acton: add\n", "acton: is unknown; did you mean action?"),
        ("\ta: b\n", "contains tabs"),
    ],
)
def test_export_names_wrong_settings(
    at_terminal: Terminal, tmp_path: Path, csv_file: Path, text: str, said: str
) -> None:
    file = tmp_path / "wrong.yml"
    file.write_text(text)
    assert at_terminal("export", "--settings", file, "--csv", csv_file, "--yes").failed(said)


@pytest.mark.parametrize("with_name", [True, False])
def test_settings_file_may_be_a_task_as_it_is_in_a_workflow(
    export: Export, settings: Path, csv_file: Path, with_name: bool
) -> None:
    task = "py>: td_pinterest_op.export.PinterestExport\nresult_settings:\n" + textwrap.indent(
        settings.read_text(), "  "
    )
    task += "_env:\n  !include : config/environment.yml\n"
    settings.write_text("+export:\n" + textwrap.indent(task, "  ") if with_name else task)
    ran = export("--csv", csv_file, "--yes")
    assert ran.code == 0, ran.err


def test_audience_of_an_action_that_creates_one_is_wrong_usage(
    at_terminal: Terminal, tmp_path: Path, csv_file: Path
) -> None:
    file = tmp_path / "create.yml"
    file.write_text("action: create_new_audience\naudience_name: New\n")
    ran = at_terminal("export", "--settings", file, "--csv", csv_file, "--audience", "42", "--yes")
    assert ran.failed(
        "--audience has no effect, since the action create_new_audience creates one: leave it out", code=2
    )


def test_renewed_refresh_token_is_saved_in_the_file_it_was_read_from(
    export: Export, services: Services, csv_file: Path, token_file: Path
) -> None:
    services.pinterest.switches.rotate_refresh_tokens = True
    for _ in range(3):
        ran = export("--csv", csv_file, "--yes", "--env-file", token_file)
        assert ran.code == 0, ran.err
    assert token_file.read_text().splitlines()[0] == "# mine"
    assert token_file.stat().st_mode & 0o777 == 0o600
    token_file.chmod(0o644)
    assert export("--csv", csv_file, "--env-file", token_file).failed(f"run `chmod 600 {token_file}` first")


@pytest.mark.parametrize("number", select_rows([6, 3, 8], quick=1))
def test_the_same_command_resumes_a_killed_one(
    at_terminal: Terminal, services: Services, fake_time: FakeTime, csv_file: Path, tmp_path: Path, number: int
) -> None:
    settings = tmp_path / "create.yml"
    settings.write_text(
        f"ad_account_id: '{AD_ACCOUNT_ID}'\naction: create_new_audience\naudience_name: Newcomers\n"
        "ignore_invalid_records: true\nlimit_records_per_request: 1\n"
    )
    arguments: list[str | Path] = ["export", "--settings", settings, "--csv", csv_file, "--yes"]
    command = [sys.executable, "-m", "td_pinterest_op", *arguments]
    environ = os.environ | services.environ | {"PYTHONPATH": FAST_CLOCK}
    with children.run_in_background(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as process:
        services.pinterest.on_request(lambda call: process.kill() if call.number == number else None, when=When.AFTER)
        assert process.wait() == -signal.SIGKILL
    fake_time.sleep(10)  # until listings show what was made
    assert at_terminal(*arguments).code == 0
    assert (len(services.pinterest.audiences), len(services.pinterest.lists)) == (1, 1)
    assert digests(4) <= _members(services)


@pytest.mark.parametrize(
    ("action", "number", "said"),
    [
        ("add_people_to_current_audience", 10, "of 200 records sent, 0 refused, "),
        # It looks for a list that an earlier run may have created.
        ("create_new_audience", 5, "0 of 200 records sent, 0 refused, 199 not sent, 1 unknown."),
    ],
)
def test_ctrl_c_reports_how_many_records_were_sent_and_exits_with_130(
    services: Services, settings: Path, tmp_path: Path, action: str, number: int, said: str
) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email\n" + "\n".join(people(200)) + "\n")
    settings.write_text(
        f"ad_account_id: '{AD_ACCOUNT_ID}'\naction: {action}\nlimit_records_per_request: 1\n"
        + ("audience_name: Newcomers\n" if action.startswith("create") else f"audience_id: '{_audience(services)}'\n")
    )
    services.pinterest.switches.latency_seconds = 0.2
    with children.run_in_background(
        [sys.executable, "-m", "td_pinterest_op", "export", "--settings", settings, "--csv", file, "--yes"],
        cwd=ROOT,
        env=os.environ | services.environ | {"PYTHONPATH": FAST_CLOCK},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        services.pinterest.on_request(
            lambda call: process.send_signal(signal.SIGINT) if call.number == number else None
        )
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the run was stopped" in err
    assert said in err
    assert "Nothing was sent" not in err
    assert "statistics" not in err
    assert "Traceback" not in err
