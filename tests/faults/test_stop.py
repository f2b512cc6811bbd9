"""A run is stopped: it ends within seconds, whatever it waits for, and saves a new refresh token first."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests import guard
from tests.emulators.digdag_secrets import DigdagSecrets, serve_secrets
from tests.emulators.pinterest import AD_ACCOUNT_ID, REFRESH_TOKEN, Call, Fault, Stall, When
from tests.exporting import Services, digests, people
from tests.faults import child

# Far less than the time limits of requests, in seconds.
WITHIN = 30.0
KEY = "pinterest.refresh_token"


def settings_to_add(services: Services) -> dict[str, Any]:
    audience_id = services.audience([], name="Shoppers")
    return {"action": "add_people_to_current_audience", "audience_id": audience_id}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("operation", ["customer_lists/update", "audiences/get", "oauth/token"])
def test_stopped_run_that_waits_for_a_response_ends_with_one_sentence(
    services: Services, tmp_path: Path, operation: str, number: signal.Signals
) -> None:
    def told_to_end(call: Call) -> None:
        if call.operation == operation:
            run.send_signal(number)

    services.pinterest.inject(Fault(effect=Stall(), operation=operation))
    services.pinterest.on_request(told_to_end)
    run = child.start_run(services, settings_to_add(services), job_id=services.job(people(5)), folder=tmp_path)
    code, said = run.wait(within=WITHIN)
    assert code == 1
    assert json.loads((tmp_path / "output.json").read_text())["store_params"] == {}
    assert f"the run was stopped ({number.name})" in said
    assert ("a new refresh token may not be saved" in said) == (operation == "oauth/token")
    assert ("Nothing was sent" in said) == (operation != "customer_lists/update")
    assert "Traceback" not in said
    guard.check(said, "the output")


def test_stopped_run_saves_a_refresh_token_that_was_just_issued(services: Services, tmp_path: Path) -> None:
    """The signal comes when Pinterest has issued it and has not answered yet; saving it takes two tries."""
    services.pinterest.switches.rotate_refresh_tokens = True
    state = DigdagSecrets(api_key="workflow-s3cr3t-key", project_id="4711")
    with serve_secrets(state) as (secrets, url):
        secrets.set_secret(KEY, REFRESH_TOKEN)
        secrets.fail(503)

        def told_to_end(call: Call) -> None:
            if call.operation == "oauth/token":
                run.send_signal(signal.SIGTERM)

        services.pinterest.on_request(told_to_end, when=When.AFTER)
        environ = {"DIGDAG_ENDPOINT": url, "DIGDAG_AUTHORIZATION": "TD1 workflow-s3cr3t-key"}
        job_id = services.job([])
        given = settings_to_add(services)
        run = child.start_run(
            services, given, job_id=job_id, folder=tmp_path, environ=environ, hurried=False, project_id=4711
        )
        _, said = run.wait(within=15)
        assert "the run was stopped (SIGTERM)" in said
        assert secrets.secrets()[KEY] in services.pinterest.tokens.refresh_tokens()
        assert secrets.secrets()[KEY] != REFRESH_TOKEN
        guard.check(said, "the output")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_list_of_audiences_that_is_ended_midway_is_exact_when_it_is_repeated(
    services: Services, tmp_path: Path, number: signal.Signals
) -> None:
    audiences = [services.audience(name=f"audience {number}") for number in range(6)]
    services.td.create("crm", "people", [{"email": person, "number": n} for n, person in enumerate(people(6))])
    entries = [
        {
            "name": f"entry {n}",
            "ad_account_id": AD_ACCOUNT_ID,
            "audience_id": audience,
            "action": "replace_current_audience",
            "query": f"SELECT email FROM people WHERE number = {n}",
        }
        for n, audience in enumerate(audiences)
    ]
    shared = {"type": "pinterest", "audience_type": "customer_list"}
    task: dict[str, Any] = {
        "operator": "td_pinterest_op.export.PinterestExport",
        "audiences": entries,
        "database": "crm",
        "at_once": 2,
    }
    seen: list[Call] = []

    def end_at_third(call: Call) -> None:
        seen.append(call)
        if sum(each.operation == "customer_lists/create" for each in seen) == 3 and not run.ended.is_set():
            run.send_signal(number)

    services.pinterest.on_request(end_at_third)
    run = child.start_run(services, shared, job_id=None, folder=tmp_path / "first", **task)
    code, said = run.wait(within=WITHIN)
    assert code == (1 if number == signal.SIGTERM else -signal.SIGKILL)
    if number == signal.SIGTERM:
        assert "the run was stopped (SIGTERM). entry 0: " in said
        assert "entry 5: not begun" in said
    guard.check(said, "the output")
    code, said = child.start_run(services, shared, job_id=None, folder=tmp_path / "second", **task).wait(within=WITHIN)
    assert (code, [services.pinterest.members_of_audience(each) for each in audiences]) == (
        0,
        [digests(1, first=n) for n in range(6)],
    ), said


def test_list_of_audiences_that_is_stopped_before_its_entries_says_that_none_was_started(
    services: Services, tmp_path: Path
) -> None:
    entries = [
        {"name": f"entry {n}", "audience_id": services.audience(), "action": "clear_current_audience"} for n in (1, 2)
    ]
    shared = {"type": "pinterest", "audience_type": "customer_list", "ad_account_id": AD_ACCOUNT_ID}
    operator = "td_pinterest_op.export.PinterestExport"
    services.pinterest.on_request(lambda _: run.send_signal(signal.SIGTERM))
    run = child.start_run(services, shared, job_id=None, folder=tmp_path, operator=operator, audiences=entries)
    code, said = run.wait(within=WITHIN)
    assert code == 1
    assert "the run was stopped (SIGTERM). No entry was started" in said
