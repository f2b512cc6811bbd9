"""Several audiences in one task: what each entry of the list becomes, and what becomes of one that fails."""

import json
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from td_pinterest_op.audiences.actions import Add
from td_pinterest_op.errors import AccountError, EntriesError, SettingsError, StoppedError
from td_pinterest_op.exporting import entry_runs
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.settings.table import SETTINGS_FOR_ALL_ENTRIES
from td_pinterest_op.task_runtime.process import GuardedTaskRun
from td_pinterest_op.task_runtime.task import Task
from tests.emulators.pinterest import AD_ACCOUNT_ID, Call
from tests.exporting import Services, digests, people

WORKFLOWS = Path(__file__).parent.parent.parent.parent / "workflows"
ADD = Add.action.name
PEOPLE = "SELECT * FROM (VALUES ('person0@shop.example'), ('person1@shop.example')) AS t(email)"
FIRST = "SELECT 'PERSON0@shop.example' AS email"
NOBODY = "SELECT 'nobody@shop.example' AS email"
COMMON = {"type": "pinterest", "audience_type": "customer_list"}


@pytest.fixture(autouse=True)
def database(services: Services) -> None:
    services.td.create_people("sandbox", people(3), table="vip")


def entry(**keys: object) -> dict[str, Any]:
    whole = {"name": "vip", "ad_account_id": AD_ACCOUNT_ID, "action": ADD, "query": PEOPLE}
    return {name: value for name, value in (whole | keys).items() if value is not None}


def make_entries(services: Services, names: Iterable[str]) -> list[dict[str, Any]]:
    """Entries of these names, each with an audience of its own."""
    return [entry(name=name, audience_id=services.audience(name=name)) for name in names]


def task_of(services: Services, *entries: object, **params: Any) -> Task:
    given = {"audiences": list(entries), "database": "sandbox", "result_settings": COMMON} | params
    return Task(params=given, environ=services.environ)


def run(services: Services, *entries: object, **params: Any) -> dict[str, Any]:
    """Run all entries; return the statistics of each by name."""
    stored = entry_runs.export_audiences(task_of(services, *entries, **params), services.time.timing)
    assert all((each["ok"], each["error"]) == (True, "") for each in stored.values())
    return {name: each["statistics"] for name, each in stored.items()}


def fail(services: Services, *entries: object, **params: Any) -> str:
    """Run entries of which one fails at least; return the error's message."""
    with pytest.raises(EntriesError) as caught:
        run(services, *entries, **params)
    return str(caught.value)


def test_entry_name_that_names_a_secret_is_an_error(services: Services) -> None:
    said = fail(services, entry(name="${secret:x}", audience_id=services.audience()))
    assert "entry $ {secret:x}: name names a secret of the workflow" in said


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"query": None}, "there is no job to export"),
        ({"segment": "cdp_audience_1.vip"}, "segment: is unknown"),
        ({"supress": "queries/opt_outs.sql"}, "supress: is unknown; did you mean suppress?"),
        ({"result_settings": {"dry_run": True}}, "result_settings: is unknown"),
        ({"audience_id": "549755885175999999"}, "there is no audience 549755885175999999"),
        ({"min_records": "many"}, "min_records: 'many' is not an allowed value"),
        ({"audience_name": "${secret:pinterest.client_secret}"}, "audience_name: names a secret of the workflow"),
        ({"suppress": "SELECT '${secret:x}'"}, "suppress: names a secret of the workflow"),
        ({"report": "../x.html"}, "vip: report: ../x.html is outside the project"),
        ({"report": "/tmp/x.html"}, "vip: report: /tmp/x.html is outside the project"),
        *(
            ({"report": path}, "entry vip: report must be the path of a file that ends in .html")
            for path in (".", "x.dig", "td_pinterest_op/export.py", ".git/hooks/pre-commit", ".html", "x.html.dig")
        ),
        ({"query": "DROP TABLE opt_outs"}, "query is no query, so it is not issued: begin it with SELECT"),
        (
            {"engine": "spark", "suppress": "SELECT 1"},
            "vip: engine: 'spark' is not an allowed value; allowed: presto, trino, hive (ad account",
        ),
        ({"suppress": "-- all\nDELETE FROM opt_outs"}, "suppress is no query, so it is not issued"),
        (
            {"settings_for_this_run": {"dry_run": True}},
            "settings_for_this_run: is not a key of result_settings, but a parameter of a run, given with `-p`",
        ),
    ],
)
def test_entry_that_fails_is_named_with_its_message_and_the_others_go_on(
    services: Services, keys: dict[str, object], message: str
) -> None:
    other = services.audience(name="other")
    wrong = entry(**({"audience_id": services.audience()} | keys))
    error = fail(services, wrong, entry(name="other", audience_id=other))
    assert error.startswith("1 of 2 audiences failed. vip: ")
    assert message in error
    assert AD_ACCOUNT_ID in error
    assert str(wrong["audience_id"]) in error
    assert services.pinterest.members_of_audience(other) == digests(2)


@pytest.mark.parametrize("report", ["link/x.html", "page.html", "link.html"])
def test_report_of_an_entry_follows_no_link_out_of_the_folder(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: str
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "outside").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    Path("link").symlink_to("../outside")
    Path("page-vip.html").symlink_to("../outside/page.html")
    Path("link.html").symlink_to("../outside/page.html")
    error = fail(services, entry(audience_id=services.audience(), report=report))
    assert "vip: report: " in error
    assert "is outside the project" in error
    assert list((tmp_path / "outside").iterdir()) == []


def test_reports_of_entries_with_long_names_are_different_files(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["\U0001f600" * 99 + last for last in "ab"]
    run(services, *make_entries(services, names), result_settings=COMMON | {"report": "page.html"})
    assert len(list(tmp_path.glob("page-*.html"))) == 2


def test_name_of_more_than_100_characters_is_an_error_that_does_not_show_it(services: Services) -> None:
    with pytest.raises(SettingsError, match="entry 1 of `audiences` has a name of more than 100 characters") as caught:
        run(services, entry(name="long " * 10_000, audience_id="77"))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"audiences": json.dumps([entry(suppress="SELECT 1")])}, "audiences"),
        ({"audiences": [json.dumps(entry(max_records=1))]}, "entry 1 of `audiences`"),
        ({"audiences": [entry()], "settings_for_this_run": json.dumps({"vip": {"dry_run": True}})}, "settings_for"),
        ({"audiences": [entry()], "result_settings": json.dumps(COMMON)}, "result_settings"),
    ],
)
def test_text_beside_an_activation_id_is_an_error_that_names_it(
    services: Services, given: dict[str, Any], named: str
) -> None:
    params = {"database": "sandbox", "result_settings": COMMON, "activation_id": 7, **given}
    with pytest.raises(SettingsError, match=rf"^{named}.* is text beside an activation_id"):
        entry_runs.export_audiences(Task(params=params, environ=services.environ), services.time.timing)
    assert (services.td.requests, services.pinterest.calls.all()) == ([], [])


@pytest.mark.parametrize("name", [name for name in SETTINGS_FOR_ALL_ENTRIES.by_name if name != "type"])
def test_connection_setting_in_an_entry_is_an_error_that_names_for_each(services: Services, name: str) -> None:
    error = fail(services, entry(audience_id="7", **{name: "5"}))
    assert f"entry vip has {name}: credentials and connection settings stand on the task" in error
    assert "with for_each>" in error


@pytest.mark.parametrize(
    ("audiences", "message"),
    [
        (None, "there is no list `audiences`, or it is empty: add a mapping of settings"),
        (
            {},
            "audiences: must be a list, not a value of type dict; allowed: a list, each entry of which begins with",
        ),
        ("[]", "there is no list `audiences`, or it is empty"),
        (["vip"], "entry 1 of `audiences`: must be a mapping"),
        ([entry(), {}], "entry 2 of `audiences` is empty"),
        (json.dumps([entry(), entry()]), "entry 2 of `audiences` has the name of another, vip"),
    ],
)
def test_wrong_list_is_one_error_before_anything_is_contacted(
    services: Services, audiences: object, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run(services, audiences=audiences)
    assert services.pinterest.calls.all() == []


@pytest.mark.parametrize(
    ("audiences", "is_same"),
    [
        ([{"audience_id": "77"}, {"audience_id": 77}], True),
        ([{"audience_id": "77"}, {"audience_id": "78"}], False),
        ([{"audience_name": "Members"}, {"audience_name": "Members"}], True),
        ([{"audience_name": "Members"}, {"audience_name": "Members", "ad_account_id": "8"}], False),
        ([{"audience_id": "77"}, {"audience_id": "77", "action": ADD}], False),
    ],
)
def test_two_mirrors_of_one_audience_are_an_error_before_anything_is_contacted(
    services: Services, audiences: list[dict[str, Any]], is_same: bool
) -> None:
    mirror = {"action": "Mirror current audience", "query": "SELECT 1"}
    entries = [entry(name=f"m{number}", **(mirror | each)) for number, each in enumerate(audiences)]
    if is_same:
        with pytest.raises(SettingsError, match="entries m0 and m1 mirror the same audience"):
            run(services, *entries)
        assert services.pinterest.calls.all() == []
    else:
        assert "mirror the same audience" not in fail(services, *entries)


@pytest.mark.parametrize("at_once", [0, 33, "four", 1.5])
def test_wrong_number_at_once_is_an_error(services: Services, at_once: object) -> None:
    with pytest.raises(SettingsError, match=r"at_once: .*; allowed: a whole number from 1 to 32"):
        run(services, entry(audience_id="7"), at_once=at_once)


def test_entry_without_a_name_has_its_number(services: Services) -> None:
    named = [entry(name=name, audience_id=services.audience(name=str(name))) for name in ("vip", None, "  ")]
    assert list(run(services, *named)) == ["vip", "entry 2", "entry 3"]


def test_error_describes_twenty_entries_and_names_the_others(services: Services) -> None:
    error = fail(services, *[entry(name=f"n{number}", audience_id="7") for number in range(23)], at_once=8)
    assert error.startswith("23 of 23 audiences failed. n0: there is no audience 7 in ad account")
    assert error.count("there is no audience 7") == 20
    assert "; and n20, n21, n22. Run this task again" in error


def test_bug_fails_one_entry_without_its_text(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_at_once(*_: object) -> None:
        raise ValueError("person@shop.example is odd")

    monkeypatch.setattr(entry_runs, "run_request", fail_at_once)
    assert "vip: ValueError at " in fail(services, entry(audience_id="7"))


def test_log_has_the_entry_in_each_of_its_lines_and_its_figures(
    services: Services, capfd: pytest.CaptureFixture[str]
) -> None:
    entries = [entry(name="100% (vip)s", audience_id="77"), entry(name="two", audience_id="x y")]
    with pytest.raises(EntriesError), GuardedTaskRun():
        run(services, *entries)
    lines = [line for line in capfd.readouterr().err.splitlines() if re.match(r"\d{4}-", line)]
    shown = [line for line in lines if re.match(r"[\d ,:-]{23} [A-Z]+ (100% \(vip\)s|two): ", line)]
    assert len(shown) >= len(lines) - 2
    assert sum("statistics of the failed run: {" in line for line in shown) == 2
    assert any("(AudienceError). Who must act: the workflow's author. `td-pinterest aud" in line for line in shown)


def test_refused_token_ends_the_task_before_any_entry_begins(services: Services) -> None:
    services.pinterest.tokens.set_refresh_token(services.environ["PINTEREST_REFRESH_TOKEN"], days=0)
    with pytest.raises(AccountError, match="has expired"):
        run(services, entry(audience_id="7"))


def test_entries_share_one_exchange_of_tokens_and_the_rate_limit(services: Services) -> None:
    entries = make_entries(services, map(str, range(6)))
    began = services.time.now()
    settings = COMMON | {"requests_per_minute": 2}
    assert {each["records"]["sent"] for each in run(services, *entries, result_settings=settings).values()} == {2}
    assert len(services.pinterest.calls.of("oauth/token")) == 1
    assert services.time.now() - began >= 120


def test_writes_in_flight_are_limited_for_all_entries_together(services: Services) -> None:
    lock = threading.Lock()
    counts = {"now": 0, "most": 0}
    entries = make_entries(services, map(str, range(8)))

    def count(call: Call) -> None:
        if call.operation == "customer_lists/update":
            with lock:
                counts["now"] += 1
                counts["most"] = max(counts.values())
            threading.Event().wait(0.02)
            with lock:
                counts["now"] -= 1

    services.pinterest.on_request(count)
    run(services, *entries, at_once=8, result_settings=COMMON | {"max_in_flight": 1})
    assert counts["most"] == 1


def test_error_of_one_entry_stops_no_request_of_another(services: Services) -> None:
    entries = make_entries(services, "ab")
    services.pinterest.answer(500, operation="customer_lists/update", times=1)
    error = fail(services, *entries, result_settings=COMMON | {"retry_count": 0})
    members = [services.pinterest.members_of_audience(each["audience_id"]) for each in entries]
    assert error.startswith("1 of 2 audiences failed.")
    assert digests(2) in members


def test_entries_may_be_of_several_ad_accounts(services: Services) -> None:
    account = services.pinterest.add_ad_account("549755885176").id
    behind = services.pinterest.add_list("list", members=digests(1, first=9), ad_account_id=account)
    other = services.pinterest.add_audience("other", customer_list_id=behind.id, ad_account_id=account).id
    run(
        services,
        entry(audience_id=services.audience()),
        entry(name="other", ad_account_id=account, audience_id=other),
    )
    assert services.pinterest.members_of_audience(other) == digests(2) | digests(1, first=9)


def test_stopped_task_says_how_far_each_entry_was(services: Services, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(shutdown.clear_request)
    entries = make_entries(services, ("n0", "n1", "n2"))

    def stop_at_second(call: Call) -> None:
        if call.operation == "audiences/get" and entries[1]["audience_id"] in call.path:
            shutdown.request_end("SIGTERM")

    services.pinterest.on_request(stop_at_second)
    with pytest.raises(StoppedError) as caught:
        run(services, *entries, at_once=1)
    progress = r"n0: done; n1: (nothing sent|0 of 2 records sent); n2: not begun"
    told = rf"the run was stopped \(SIGTERM\)\. {progress}\. Run this task again: "
    assert re.match(told, str(caught.value))


def test_settings_for_this_run_are_given_by_entry(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    entries = make_entries(services, ("one", "two"))
    figures = run(services, *entries, settings_for_this_run='{"two": {"dry_run": true}}')
    assert {name: each["dry_run"] for name, each in figures.items()} == {"one": False, "two": True}
    assert "set for this run and each retry of its attempt: dry_run" in figures["two"]["summary"]
    with pytest.raises(SettingsError, match="there is no entry three"):
        run(services, *entries, settings_for_this_run={"three": {"dry_run": True}})


def test_blank_keys_of_an_entry_override_nothing(services: Services) -> None:
    blanks = {"ignore_invalid_records": "", "default_country": " "}
    shared = COMMON | {"dry_run": True, "ignore_invalid_records": True, "history": ""}
    listed = entry(query="SELECT email FROM vip", audience_id=services.audience(), **blanks)
    figures = run(services, listed, result_settings=shared)["vip"]
    assert (figures["dry_run"], figures["rows"]["read"], figures["rows"]["invalid"]) == (True, 3, 0)


@pytest.mark.parametrize("dump", [dict, json.dumps, yaml.safe_dump], ids=["mapping", "JSON", "YAML"])
def test_shared_settings_and_an_entry_may_be_text(services: Services, dump: Callable[[Any], object]) -> None:
    settings = {"ad_account_id": AD_ACCOUNT_ID, "action": ADD, "audience_id": services.audience()}
    listed = dump({"name": "vip", "query": PEOPLE, **settings})
    assert run(services, listed, result_settings=dump(COMMON))["vip"]["records"]["sent"] == 2


def test_entry_has_any_action_and_its_own_database(services: Services) -> None:
    audience_id = services.audience(people(3))
    services.td.create_people("crm", people(1))
    query = "SELECT email FROM people"
    remove = entry(audience_id=audience_id, database="crm", query=query, action="remove people_from current-audience")
    assert run(services, remove)["vip"]["records"]["sent"] == 1
    run(services, entry(query=None, audience_id=audience_id, action="clear_current_audience"))
    assert services.pinterest.members_of_audience(audience_id) & digests(3) == set()


@pytest.mark.parametrize(
    ("of_entry", "of_task", "sent"),
    [
        ({"suppress": FIRST}, {}, 1),
        ({}, {"suppress": FIRST}, 1),
        ({"suppress": NOBODY}, {"suppress": FIRST}, 2),
        ({"suppress": ""}, {"suppress": FIRST}, None),
        ({"suppress": FIRST}, {"suppress": ""}, None),
    ],
)
def test_lists_of_an_entry_replace_those_of_the_task_and_are_never_blank(
    services: Services, of_entry: dict[str, str], of_task: dict[str, str], sent: int | None
) -> None:
    listed = entry(audience_id=services.audience(), **of_entry)
    shared = COMMON | of_task
    if sent is None:
        assert "suppress: is blank" in fail(services, listed, result_settings=shared)
    else:
        assert run(services, listed, result_settings=shared)["vip"]["records"]["sent"] == sent


def test_list_of_an_entry_in_place_of_the_tasks_is_a_warning_that_names_both(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.sql").write_text(FIRST)
    listed = entry(audience_id=services.audience(), suppress="mine.sql", consent=PEOPLE)
    run(services, listed, result_settings=COMMON | {"suppress": NOBODY, "consent": PEOPLE})
    warning = "entry vip: for suppress, mine.sql in the entry replaces a query of the task"
    assert [each.getMessage() for each in caplog.records if "replaces" in each.getMessage()] == [warning]


def test_lists_of_the_task_are_for_the_entries_that_add_people(services: Services) -> None:
    audience_id = services.audience(people(3))
    remove = entry(name="out", audience_id=audience_id, action="remove_people_from_current_audience")
    shared = COMMON | {"suppress": FIRST}
    ran = run(services, remove, entry(audience_id=services.audience()), result_settings=shared)
    assert (ran["out"]["records"]["sent"], ran["vip"]["records"]["sent"]) == (2, 1)
    assert "suppress: remove_people_from" in fail(services, {**remove, "suppress": FIRST})


def test_report_of_each_entry_is_a_file_of_its_own(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entries = make_entries(services, ["vip", "a/b", "a%2Fb", "Größe 1"])
    run(services, *entries, result_settings=COMMON | {"report": "out/p.html"})
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == sorted(["p-Größe 1.html", "p-a%2Fb.html", "p-a%252Fb.html", "p-vip.html"])


def test_a_secret_in_a_parameter_of_an_entry_is_an_error_that_names_it(services: Services) -> None:
    said = fail(services, entry(audience_id=services.audience(), presto_pool_name="${secret:td.apikey}"))
    assert "entry vip: presto_pool_name names a secret of the workflow, which no entry may do" in said


def test_name_with_a_lone_surrogate_is_an_error_that_names_the_entry(services: Services) -> None:
    with pytest.raises(
        SettingsError, match="name of entry 2: the value contains line breaks, control characters or invalid"
    ):
        run(services, entry(), entry(name="vip \ud83d"))


def test_shipped_entries_that_remove_people_name_no_audience() -> None:
    entries = yaml.safe_load((WORKFLOWS / "config" / "audiences.yml").read_text())["audiences"]
    taking = [each for each in entries if each["action"] != ADD]
    assert [each["audience_id"] for each in taking] == [""] * len(taking)
