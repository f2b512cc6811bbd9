"""Several audiences: what each entry of the list becomes, and what is stored of one that fails."""

import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml

from td_pinterest_op import many
from td_pinterest_op.audiences.actions import Add
from td_pinterest_op.errors import AccountError, EntriesError, ExportError, SettingsError, StoppedError
from td_pinterest_op.runtime.clock import SYSTEM
from td_pinterest_op.workflow.process import TaskProcess
from td_pinterest_op.workflow.task import Task
from tests.clock import FakeTime
from tests.exporting import Services, digests, people

WORKFLOWS = Path(__file__).parent.parent.parent / "workflows"
ADD = Add.action.name


def entry(**keys: object) -> dict[str, Any]:
    whole = {"name": "vip", "ad_account_id": "549755885175", "action": ADD, "query": "SELECT email FROM people"}
    return {name: value for name, value in (whole | keys).items() if value is not None}


def outcome(services: Services, listed: object, **params: Any) -> dict[str, Any]:
    shared = {"type": "pinterest", "audience_type": "customer_list"}
    task = {"audience": listed, "database": "sandbox", "concurrent": 4, "result_settings": shared} | params
    name, stored = many.export_entry(Task(params=task, environ=services.environ), services.time.timing)
    assert "vip" == name
    return stored


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"query": None}, "there is no job to export"),
        ({"query": " "}, "query of the task is blank"),
        ({"segment": "cdp_audience_1.vip"}, "entry vip has both a segment and a query or job_id"),
        ({"query": None, "job_id": 7, "segment": "vip"}, "entry vip has both a segment and a query or job_id"),
        ({"job_id": 7}, "the task has both job_id and query"),
        ({"query": None, "segment": "a; DROP TABLE b"}, "entry vip: segment must be a table"),
        ({"query": None, "segment": " "}, "entry vip: segment must be a table"),
        ({"query": " ", "segment": None}, "query of the task is blank"),
        ({"query": None, "segment": "vip", "column": "a, b"}, "entry vip: segment must be a table"),
        ({"query": "queries/none.sql"}, "query: there is no file queries/none.sql in the project"),
        ({"supress": "queries/opt_outs.sql"}, "supress: is unknown; did you mean suppress?"),
        (
            {"result_settings": {}, "dry_run": True},
            "entry vip has parameters next to result_settings that an export does not accept: ad_account_id",
        ),
        ({"result_settings": "["}, "result_settings of entry vip: a string of 1 character is neither valid JSON"),
        ({"audience_id": "549755885175999999"}, "there is no audience 549755885175999999"),
        ({"colour": "red"}, "colour"),
        ({"requests_per_minute": "many"}, "requests_per_minute: must be a whole number, not 'many'"),
    ],
)
def test_an_entry_that_fails_is_stored_with_its_message_and_figures_of_zero(
    services: Services, keys: dict[str, object], message: str
) -> None:
    stored = outcome(services, entry(**({"audience_id": services.audience()} | keys)))
    assert not stored["ok"]
    assert message in stored["error"]
    assert 0 == stored["statistics"]["records"]["sent"]


def test_bug_is_stored_and_a_signal_is_raised(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Exception] = [ValueError("person@shop.example is odd"), StoppedError("the run was stopped")]
    monkeypatch.setattr(many, "export", Mock(side_effect=raised))
    stored = outcome(services, entry(audience_id="7"))
    assert not stored["ok"]
    assert stored["error"].startswith("ValueError at ")
    assert "please report it" in stored["error"]
    with pytest.raises(StoppedError):
        outcome(services, entry(audience_id="7"))


def test_log_of_an_entry_has_its_name_in_each_line_and_says_who_must_act(
    services: Services, capfd: pytest.CaptureFixture[str]
) -> None:
    shared = {"type": "pinterest", "audience_type": "customer_list"}
    listed = entry(name="100% (vip)s", audience_id="77", query=PEOPLE)
    task = Task(params={"audience": listed, "database": "sandbox", "result_settings": shared}, environ=services.environ)
    with TaskProcess():
        many.export_entry(task, services.time.timing)
    lines = [line for line in capfd.readouterr().err.splitlines() if re.match(r"\d{4}-", line)]
    assert all(re.match(r"[\d ,:-]{23} [A-Z]+ 100% \(vip\)s: ", line) for line in lines), lines
    assert "(AudienceError). Who must act: the workflow's author. `td-pinterest audiences` lists" in lines[-1]


def test_entry_with_a_refused_token_is_resubmitted_or_stored(services: Services) -> None:
    services.pinterest.tokens.set_refresh_token(services.environ["PINTEREST_REFRESH_TOKEN"], days=0)
    shared = {"_env": {"PINTEREST_REFRESH_TOKEN": "${secret:pinterest.refresh_token}"}}
    with pytest.raises(AccountError, match="has expired"):
        outcome(services, entry(audience_id="7"), **shared)
    assert "the refresh token has expired, was replaced" in outcome(services, entry(audience_id="7"))["error"]


@pytest.mark.parametrize("listed", [None, "vip", ["vip"]])
def test_a_task_without_its_entry_is_an_error(listed: object) -> None:
    task = Task(params={"audience": listed}, environ={})
    with pytest.raises(SettingsError, match=r"^`audience` of the task"):
        many.export_entry(task, FakeTime().timing)


@pytest.mark.parametrize(
    ("concurrent", "requests_per_minute", "share"),
    [(4, None, 97), (4.0, 400, 100), ("4", "400.0", 100), ("4e0", "4e2", 100), (None, 400, 400), (1000, 1, 1)],
)
def test_an_entry_exports_its_segment_and_keeps_to_its_share_of_the_requests(
    services: Services,
    caplog: pytest.LogCaptureFixture,
    concurrent: object,
    requests_per_minute: object,
    share: int,
) -> None:
    services.td.create("sandbox", "vip", [{"email": person} for person in people(3)])
    listed = entry(query=None, segment="sandbox.vip", column=" ", audience_id=services.audience())
    stored = outcome(services, listed | {"requests_per_minute": requests_per_minute}, concurrent=concurrent)
    assert stored["ok"], stored["error"]
    assert 3 == stored["statistics"]["records"]["sent"]
    assert f"at most {share} a minute" in caplog.text


def test_blank_query_next_to_a_segment_leaves_the_rows_to_it(services: Services) -> None:
    services.td.create("sandbox", "vip", [{"email": person} for person in people(3)])
    stored = outcome(services, entry(query="", job_id=None, segment="sandbox.vip", audience_id=services.audience()))
    assert (True, 3) == (stored["ok"], stored["statistics"]["records"]["sent"])


def test_failed_entry_stores_which_audience_it_names(services: Services) -> None:
    statistics = outcome(services, entry(query=PEOPLE, audience_id="7", audience_name="VIP"))["statistics"]
    assert ("7", "VIP", 0) == (statistics["audience_id"], statistics["audience_name"], statistics["records"]["sent"])


def test_blank_keys_of_an_entry_override_nothing_and_give_no_warning(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    services.td.create("sandbox", "vip", [{"email": person} for person in people(3)])
    blanks = {"segment": " ", "column": "", "dry_run": "", "max_records": " "}
    listed = entry(query="SELECT email FROM vip", audience_id=services.audience(), **blanks)
    shared = {"type": "pinterest", "audience_type": "customer_list", "dry_run": True, "control": ""}
    stored = outcome(services, listed, result_settings=shared)
    assert (True, 3) == (stored["statistics"]["dry_run"], stored["statistics"]["rows"]["read"])
    assert "these settings are blank, and so have no effect: control\n" in caplog.text


@pytest.mark.parametrize("concurrent", [0, "four", 1.5, True, [4]])
def test_invalid_concurrent_fails_every_entry_and_the_step_before_them(services: Services, concurrent: object) -> None:
    told = "concurrent: .*; allowed: a whole number from 1 to 1000"
    assert re.match(told, outcome(services, entry(audience_id=services.audience()), concurrent=concurrent)["error"])
    params = {"audiences": [entry()], "concurrent": concurrent, "result_settings": {"type": "pinterest"}}
    with pytest.raises(SettingsError, match=told):
        many.renew_token(Task(params=params, environ=services.environ), services.time.timing)


@pytest.mark.parametrize("dump", [dict, json.dumps, yaml.safe_dump], ids=["mapping", "JSON", "YAML"])
def test_shared_settings_and_an_entry_may_be_text(services: Services, dump: Any) -> None:
    shared = dump({"type": "pinterest", "audience_type": "customer_list", "dry_run": True})
    listed = entry(query=PEOPLE, audience_id=services.audience())
    services.td.create("sandbox", "seeds", "SELECT 1 AS one")
    assert outcome(services, listed, result_settings=shared)["statistics"]["dry_run"]
    assert [] == services.pinterest.calls.writes()
    of_entry = {"ad_account_id": "549755885175", "action": ADD, "audience_id": listed["audience_id"]}
    nested = {"name": "vip", "query": PEOPLE, "result_settings": dump(of_entry)}
    assert 2 == outcome(services, json.dumps(nested))["statistics"]["records"]["sent"]


def test_an_entry_has_any_action_and_its_own_database(services: Services) -> None:
    audience_id = services.audience(people(3))
    services.td.create("crm", "people", [{"email": people(1)[0]}])
    stored = outcome(
        services, entry(audience_id=audience_id, database="crm", action="remove people_from current-audience")
    )
    assert (True, 1) == (stored["ok"], stored["statistics"]["records"]["sent"])
    stored = outcome(services, entry(query=None, audience_id=audience_id, action="clear_current_audience"))
    assert (True, "") == (stored["ok"], stored["error"])
    assert set() == services.pinterest.members_of_audience(audience_id) & digests(3)


def test_what_an_entry_has_of_its_own_is_logged_and_a_blank_replaces_nothing(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    shared = {"type": "pinterest", "audience_type": "customer_list", "dry_run": True, "max_records": 5}
    services.td.create("sandbox", "seeds", "SELECT 1 AS one")
    listed = entry(query=PEOPLE, audience_id=services.audience(), dry_run="", max_records=4, suppress=NOBODY)
    stored = outcome(services, listed, result_settings=shared, query=FIRST, suppress=FIRST)
    assert (True, True) == (stored["ok"], stored["statistics"]["dry_run"])
    assert "entry vip overrides the task's max_records, query, suppress" in caplog.text
    assert [] == services.pinterest.calls.writes()


def test_query_of_an_entry_may_be_a_file(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vip.sql").write_text("SELECT email FROM vip")
    services.td.create("sandbox", "vip", [{"email": person} for person in people(3)])
    assert outcome(services, entry(query="vip.sql", audience_id=services.audience()))["ok"]


PEOPLE = "SELECT * FROM (VALUES ('person0@shop.example'), ('person1@shop.example')) AS t(email)"
FIRST = "SELECT 'PERSON0@shop.example' AS email"
NOBODY = "SELECT 'nobody@shop.example' AS email"


@pytest.mark.parametrize(
    ("of_entry", "of_task", "sent", "error"),
    [
        ({"suppress": FIRST}, {}, 1, ""),
        ({}, {"suppress": FIRST}, 1, ""),
        ({"suppress": NOBODY}, {"suppress": FIRST}, 2, ""),
        (
            {"suppress": ""},
            {"suppress": FIRST},
            0,
            "suppress of the task is blank",
        ),
    ],
)
def test_lists_of_an_entry_replace_those_of_the_task_and_are_never_blank(
    services: Services, of_entry: dict[str, str], of_task: dict[str, str], sent: int, error: str
) -> None:
    services.td.create("sandbox", "seeds", "SELECT 1 AS one")
    stored = outcome(services, entry(query=PEOPLE, audience_id=services.audience(), **of_entry), **of_task)
    assert (error, sent) == (stored["error"].partition(":")[0], stored["statistics"]["records"]["sent"])


def test_gate_names_entries_that_failed_or_stored_nothing() -> None:
    entries = [entry(name=name) for name in ("one", "two", "three")]
    stored = {"one": {"ok": True, "error": ""}, "two": {"ok": False, "error": "the disk is full"}}
    place = r"\(audience none in ad account 549755885175\)"
    failed = f"2 of 3 audiences failed: two {place}: the disk is full; three {place}: no result was stored"
    with pytest.raises(EntriesError, match=failed):
        many.check_outcomes(Task(params={"audiences": entries, "pinterest_many": stored}, environ={}), SYSTEM)
    many.check_outcomes(Task(params={"audiences": entries[:1], "pinterest_many": stored}, environ={}), SYSTEM)


def test_gate_says_that_a_resumed_attempt_loses_results_and_how_to_repeat_them() -> None:
    task = Task(params={"audiences": [entry()], "task_name": "+pinterest_many+gate"}, environ={})
    resumed = "or the attempt was resumed, which loses the result of an entry that had started again after a refused"
    with pytest.raises(EntriesError, match=f"{resumed} token. To repeat .* with `retry … --all`"):
        many.check_outcomes(task, SYSTEM)


@pytest.mark.parametrize("key", ["audience_id", "audience_id_add_people", "audience_name"])
def test_entries_without_a_name_are_named_by_the_audience(services: Services, key: str) -> None:
    entries = [entry(name=None) | {key: number} for number in ("12", "13")]
    params = {"audiences": entries, "result_settings": {"type": "pinterest"}}
    many.renew_token(Task(params=params, environ=services.environ), services.time.timing)
    task = Task(params={"audiences": entries, "pinterest_many": {"13": {"ok": True}}}, environ={})
    with pytest.raises(EntriesError, match=r"^1 of 2 audiences failed: 12 \(audience 12 in ad account"):
        many.check_outcomes(task, SYSTEM)


@pytest.mark.parametrize("audiences", [None, [], "[]", ["vip"], "vip", [entry(), entry()], json.dumps([entry()] * 2)])
def test_empty_list_or_duplicate_name_is_an_error(services: Services, audiences: object) -> None:
    task = Task(params={"audiences": audiences, "result_settings": {"type": "pinterest"}}, environ=services.environ)
    with pytest.raises(ExportError, match=r"audiences|duplicate names in `audiences`: vip"):
        many.renew_token(task, services.time.timing)


def test_token_is_renewed_once_before_the_entries(services: Services) -> None:
    task = Task(params={"audiences": [entry()], "result_settings": {"type": "pinterest"}}, environ=services.environ)
    many.renew_token(task, services.time.timing)
    assert 1 == len(services.pinterest.calls.all())


def test_what_is_shipped_divides_by_the_number_at_once_and_takes_people_from_no_audience_that_it_names() -> None:
    text = (WORKFLOWS / "pinterest_many.dig").read_text()
    assert "concurrent: 4 " in text
    assert "_parallel: {limit: 4}" in text
    entries = yaml.safe_load((WORKFLOWS / "config" / "audiences.yml").read_text())["audiences"]
    taking = [entry for entry in entries if entry["action"] != ADD]
    assert taking
    assert all(entry["audience_id"] == "" and "expected_audience_name" in entry for entry in taking)
