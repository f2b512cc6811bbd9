"""`td-pinterest export`: a job or a query, with the plan, the question and the figures."""

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digests, people
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
def job(services: Services) -> str:
    """A job whose result is five people, one of them twice and one without an address."""
    return services.job([*people(4), *people(1), "nobody"])


def _audience(services: Services) -> str:
    return next(iter(services.pinterest.audiences))


def _members(services: Services) -> set[str]:
    return services.pinterest.members_of_audience(_audience(services))


def test_export_of_a_job_prints_plan_and_statistics(
    export: Export, compare_golden: Recorded, services: Services, job: str
) -> None:
    compare_golden(export("--job", job, "--yes"), "export")
    assert _members(services) == digests(4)


def test_dry_run_shows_the_plan_and_writes_nothing(
    export: Export, compare_golden: Recorded, services: Services, job: str
) -> None:
    compare_golden(export("--job", job, "--dry-run"), "export_dry_run")
    assert _members(services) == set()
    assert services.pinterest.calls.writes() == []


PEOPLE = "SELECT email FROM people"
LISTS = {"suppress": f"SELECT '{people(1)[0].upper()}' AS email", "consent": "SELECT email FROM people LIMIT 3"}
OPTIONS = ["--suppress", LISTS["suppress"], "--consent", LISTS["consent"]]


@pytest.mark.parametrize("is_in_file", [True, False])
def test_people_who_opted_out_or_do_not_consent_are_not_sent(
    export: Export,
    services: Services,
    settings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_in_file: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    services.td.create_people("shop", people(4))
    source = ["--query", PEOPLE, *OPTIONS]
    if is_in_file:
        source = ["--job", services.job(people(4))]
        for name, sql in LISTS.items():
            Path(f"{name}.sql").write_text(sql)
        settings.write_text(settings.read_text() + "".join(f"{name}: {name}.sql\n" for name in LISTS))
    ran = export("--yes", "--json", "--database", "shop", *source)
    assert ran.code == 0, ran.err
    counts = json.loads(ran.out)["records"]["withheld"]
    assert (counts["suppressed"], counts["without_consent"]) == (1, 1)
    assert _members(services) == digests(2, first=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("audience_description: ${name}", "audience_description in the file {file} of --settings contains a template"),
        ("ad_account_id: '${{secret:td.apikey}}'", "ad_account_id in the file"),
        ("suppress: nowhere.sql", "suppress: there is no file nowhere.sql in {folder}"),
        ("suppress: ../people.sql", "suppress: ../people.sql is outside the project"),
        ("consent: /people.sql", "consent: /people.sql is outside the project"),
        ("result_settings: {{action: delete}}", "result_settings: is unknown"),
        ("acton: add", "acton: is unknown; did you mean action?"),
        ("\ta: b", "there is a tab here, where YAML allows none"),
    ],
)
def test_settings_that_are_wrong_or_that_only_a_workflow_can_fill_in_are_an_error(
    export: Export,
    services: Services,
    settings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = "".join(line for line in settings.read_text().splitlines(True) if not line.startswith(text.split(":")[0]))
    settings.write_text(kept + text.replace("{{", "{").replace("}}", "}") + "\n")
    assert export("--query", PEOPLE, "--yes", "--database", "shop").failed(said.format(file=settings, folder=tmp_path))
    assert services.pinterest.calls.all() == []


@pytest.mark.parametrize("option", ["--query", "--suppress", "--consent"])
def test_statements_of_hive_that_are_no_query_are_not_issued(export: Export, services: Services, option: str) -> None:
    options = {"--query": PEOPLE, option: "SET a=`; DROP TABLE people; SET b=`; SELECT email FROM people"}
    arguments = [argument for pair in options.items() for argument in pair]
    ran = export(*arguments, "--engine", "hive", "--yes", "--database", "shop")
    assert ran.failed(f"{option.strip('-')} is no query")
    assert services.td.requests == []


def test_settings_are_read_as_digdag_reads_them(
    at_terminal: Terminal, services: Services, settings: Path, job: str
) -> None:
    settings.write_text(
        f"ad_account_id: '{AD_ACCOUNT_ID}'\naction: create_new_audience\naudience_name: Cash $$ 5\n"
        "ignore_invalid_records: true\nclient_id: ${secret:pinterest.client_id}\n"
    )
    assert at_terminal("export", "--settings", settings, "--job", job, "--yes").code == 0
    assert [audience.name for audience in services.pinterest.audiences.values()][-1] == "Cash $ 5"


def test_settings_that_a_file_includes_are_read_from_its_folder_alone(
    at_terminal: Terminal, services: Services, settings: Path, job: str
) -> None:
    whole = settings.read_text()
    settings.write_text("!include : shared/all.yml\n")
    shared = settings.parent / "shared" / "all.yml"
    shared.parent.mkdir()
    shared.write_text(whole)
    assert at_terminal("export", "--settings", settings, "--job", job, "--yes").code == 0
    assert _members(services) == digests(4)
    settings.write_text("!include : ../outside.yml\n")
    ran = at_terminal("export", "--settings", settings, "--job", job, "--yes")
    assert "of --settings, line 1: !include: ../outside.yml is outside the project" in " ".join(ran.err.split())
    assert ran.code == 1


@pytest.mark.parametrize("name", LISTS)
def test_list_that_the_file_has_too_is_wrong_usage_and_a_blank_one_an_error(
    export: Export, services: Services, settings: Path, job: str, name: str
) -> None:
    written = settings.read_text()
    settings.write_text(f"{written}{name}: ''\n")
    assert export("--job", job, "--yes", "--database", "shop").failed(f"{name}: is blank")
    option = ["--job", job, "--yes", "--database", "shop", f"--{name}", LISTS[name]]
    assert export(*option).failed(f"the file of --settings has {name}, too", code=2)
    settings.write_text(f"{written}dry_run: ''\n")
    assert export("--job", job, "--yes", "--dry-run").failed("dry_run: is blank")
    assert services.pinterest.calls.writes() == []


def test_export_without_a_terminal_requires_the_option_yes_before_the_query_runs(
    export: Export, services: Services, job: str
) -> None:
    services.td.create_people("shop", people(4))
    for source in (["--job", job], ["--query", "SELECT email FROM people", "--database", "shop"]):
        assert export(*source).failed("use --yes to continue without it", code=2)
    assert (services.pinterest.calls.all(), services.td.requests) == ([], [])


def test_blank_opt_outs_are_wrong_usage_and_nothing_is_sent(
    export: Export, services: Services, job: str, tmp_path: Path
) -> None:
    file = tmp_path / "opted_out.sql"
    file.write_text("\n")
    for option in ("--suppress", "--consent"):
        assert export("--job", job, "--yes", "--database", "shop", option, "").failed(f"'{option}'", code=2)
        assert export("--job", job, "--yes", "--database", "shop", option, file).failed(f"of {option} is blank")
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either --job ID, or --query FILE --database DB"),
        (["--job", "1", "--query", "SELECT 1"], "give either --job ID, or --query FILE --database DB"),
        (["--job", "1", "--engine", "hive"], "--engine has no effect without --query"),
        (["--job", "1", "--database", "shop"], "--database has no effect without --query"),
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
    said = "the action in the settings reads no rows: leave out --job and --query"
    assert at_terminal("export", "--settings", file, "--job", "1").failed(said, code=2)
    ran = at_terminal("export", "--settings", file, "--audience", audience, "--yes")
    assert ran.code == 0, ran.err
    assert digests(2).isdisjoint(services.pinterest.members_of_audience(audience))


def test_audience_of_an_action_that_creates_one_is_wrong_usage(at_terminal: Terminal, tmp_path: Path, job: str) -> None:
    file = tmp_path / "create.yml"
    file.write_text("action: create_new_audience\naudience_name: New\n")
    ran = at_terminal("export", "--settings", file, "--job", job, "--audience", "42", "--yes")
    assert ran.failed(
        "--audience has no effect, since the action create_new_audience creates one: leave it out", code=2
    )


def test_renewed_refresh_token_is_saved_in_the_file_it_was_read_from(
    export: Export, services: Services, job: str, token_file: Path
) -> None:
    services.pinterest.switches.rotate_refresh_tokens = True
    for _ in range(3):
        ran = export("--job", job, "--yes", "--env-file", token_file)
        assert ran.code == 0, ran.err
    assert token_file.read_text().splitlines()[0] == "# mine"
    assert token_file.stat().st_mode & 0o777 == 0o600
    token_file.chmod(0o644)
    assert export("--job", job, "--env-file", token_file).failed(f"run `chmod 600 {token_file}` first")


NEW = f"ad_account_id: '{AD_ACCOUNT_ID}'\naction: create_new_audience\naudience_name: Newcomers\n"


@pytest.mark.parametrize(
    ("others", "number", "said"),
    [
        ("", 10, "of 200 records sent, 0 refused, "),
        # A list that is being created may have its first batch.
        (NEW, 5, "0 of 200 records sent, 0 refused, 199 not sent, 1 unknown."),
    ],
)
def test_ctrl_c_reports_how_many_records_were_sent_and_exits_with_130(
    export: Export, services: Services, settings: Path, others: str, number: int, said: str
) -> None:
    settings.write_text(f"{others or settings.read_text()}limit_records_per_request: 1\n")
    services.pinterest.switches.latency_seconds = 0.2
    services.pinterest.on_request(lambda call: os.kill(os.getpid(), signal.SIGINT) if call.number == number else None)
    ran = export("--job", services.job(people(200)), "--yes")
    assert ran.code == 130, ran.err
    assert "the run was stopped" in ran.err
    assert said in ran.err
    assert "Nothing was sent" not in ran.err
    assert "statistics" not in ran.err
    assert "Traceback" not in ran.err
