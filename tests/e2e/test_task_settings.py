"""The settings of a task in each of their forms, and the one error about all that is wrong."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from td_pinterest_op.activation import build_activation_export_task
from td_pinterest_op.erasure import erase_people
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.exporting.entry_runs import export_audiences
from td_pinterest_op.exporting.export_run import export_task
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.status import check_audiences
from td_pinterest_op.task_runtime.task import Task
from tests.e2e.audiences import ADD, settings_of
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, people

TEN: Mapping[str, Any] = {
    "type": "facebook",
    "ad_account_id": "12a",
    "audience_type": "visitors",
    "action": "add_peeple",
    "limit_records_per_request": "0",
    "ignore_invalid_records": "perhaps",
    "retry_count": "-1",
    "max_invalid_ratio": "1.5",
    "columns": {"mail": "phone"},
    "requests_per_minut": "400",
}


def test_wrong_settings_are_one_error_that_names_all_before_any_request(services: Services) -> None:
    with pytest.raises(SettingsError) as caught:
        services.export(TEN, job_id=services.job(people(3)))
    first, *lines = str(caught.value).splitlines()
    assert first == "result_settings has 10 problems:"
    assert {line.removeprefix("- ").split(":")[0] for line in lines} == set(TEN)
    assert all("allowed:" in line or "did you mean requests_per_minute" in line for line in lines)
    assert services.td.requests == []
    assert services.pinterest.calls.all() == []


def test_missing_api_key_is_named_together_with_wrong_settings(services: Services) -> None:
    services.environ.pop("TD_API_KEY")
    with pytest.raises(SettingsError) as caught:
        services.export({"action": "add_peeple", "ad_account_id": None}, job_id="12x")
    for part in (
        "- ad_account_id: missing",
        "- action: ",
        "allowed: the id of a Treasure Data job",
        "there is no TD_API_KEY",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "run",
    [
        export_task,
        export_audiences,
        erase_people,
        check_audiences,
        lambda task, _: build_activation_export_task(task),
    ],
    ids=["export", "list of exports", "erasure", "status", "activation"],
)
def test_console_hands_its_settings_to_no_task_as_text(
    services: Services, run: Callable[[Task, Timing], object]
) -> None:
    own = {"type": "pinterest", "ad_account_id": AD_ACCOUNT_ID, "refresh_token": "pinr.theirs"}
    params: dict[str, Any] = {"result_settings": json.dumps(own), "activation_id": 5, "audiences": [{"name": "a"}]}
    with pytest.raises(SettingsError, match=r"only td_pinterest_op\.activation\.PinterestActivation takes"):
        run(Task(params=params, environ=services.environ), services.time.timing)
    assert services.pinterest.calls.all() == []


def test_other_parameters_and_variables_of_a_workflow_are_not_judged(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    variables: dict[str, Any] = {
        "consent_version": 2,
        "suppressed_table": "a.b",
        "querry": "x",
        "control": {"percent": 10},
        "opt_outs": "",
    }
    settings = settings_of(services, ADD)
    assert services.export(settings, job_id=services.job(people(5)), **variables)["records"]["sent"] == 5
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == []


def test_settings_for_this_run_replace_those_of_the_task_and_are_named(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(services, ADD) | {"min_records": 100}
    given = '{"min_records": 1, "dry_run": true, "rebuild": true}'
    stored = services.export(settings, job_id=services.job(people(5)), settings_for_this_run=given)
    assert (stored["dry_run"], services.pinterest.calls.writes()) == (True, [])
    assert "set for this run, and for each retry of its attempt: min_records, dry_run" in caplog.text
    assert "settings_for_this_run has settings that this task does not have: rebuild" in caplog.text
    assert "; set for this run and each retry of its attempt: min_records, dry_run." in stored["summary"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"audience_id": "7"}, "blank, or not to be set for one run: audience_id"),
        ({"dry_run": ""}, "blank, or not to be set for one run: dry_run"),
        ("", "settings_for_this_run: blank"),
        ({}, "settings_for_this_run: blank"),
        ("dry_run", "must be a mapping"),
        ({"min_records": "many"}, "min_records: 'many' is not an allowed value"),
    ],
)
def test_wrong_setting_for_this_run_is_an_error(services: Services, given: object, complaint: str) -> None:
    settings = settings_of(services, ADD)
    with pytest.raises(SettingsError, match=complaint):
        services.export(settings, job_id=services.job(people(5)), settings_for_this_run=given)
    assert services.pinterest.calls.writes() == []


def test_error_about_settings_names_the_ad_account_and_the_audience_that_they_name(services: Services) -> None:
    with pytest.raises(SettingsError, match=rf"colour: is unknown \(ad account {AD_ACCOUNT_ID}, audience 77\)$"):
        services.export({"action": ADD, "audience_id": "77", "colour": "red"}, job_id="1")


@pytest.mark.parametrize(
    ("run", "params"),
    [
        (erase_people, {"ad_account_ids": [AD_ACCOUNT_ID], "colour": "red"}),
        (erase_people, {"ad_account_id": AD_ACCOUNT_ID, "colour": "red"}),
        (export_audiences, {"ad_account_id": AD_ACCOUNT_ID}),
        (lambda task, _: build_activation_export_task(task), {"ad_account_id": AD_ACCOUNT_ID}),
    ],
)
def test_error_about_settings_of_other_tasks_names_the_ad_account(
    services: Services, run: Callable[[Task, Timing], object], params: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match=rf"ad account {AD_ACCOUNT_ID}"):
        run(Task(params={"result_settings": params}, environ=services.environ), services.time.timing)


def test_settings_that_are_no_mapping_hide_no_problem_of_the_parameters(services: Services) -> None:
    params = {"result_settings": 5, "query": "DROP TABLE people", "suppress": "SELECT 1", "database": "crm"}
    with pytest.raises(SettingsError) as caught:
        export_task(Task(params=params, environ=services.environ), services.time.timing)
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["result_settings", "query", "suppress"]


def test_query_that_ends_in_the_name_of_a_file_is_no_file(services: Services) -> None:
    services.td.create_people("crm", people(3))
    query = "SELECT email FROM people -- see queries/people.sql"
    settings = settings_of(services, ADD)
    assert services.export(settings, query=query, database="crm")["records"]["sent"] == 3


def test_segment_named_after_a_secret_creates_no_audience(services: Services) -> None:
    settings = {"type": "pinterest", "ad_account_id": AD_ACCOUNT_ID, "audience_type": "customer_list"}
    params = {"segment_name": "${secret:pinterest.refresh_token}", "job_id": services.job(people(3))}
    task = Task(params={**params, "result_settings": settings}, environ=services.environ)
    with pytest.raises(SettingsError, match="audience_name: names a secret of the workflow"):
        export_task(build_activation_export_task(task), services.time.timing)
    assert services.pinterest.calls.all() == []
