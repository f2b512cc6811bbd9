"""Erasure: people out of every list, between the two emulators."""

import json
from itertools import islice
from typing import Any

import pytest

from td_pinterest_op import erasure
from td_pinterest_op.erasure import erase_people
from td_pinterest_op.errors import (
    AccountError,
    InvalidRowsError,
    JobError,
    PinterestError,
    StoppedError,
)
from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES
from td_pinterest_op.records.prepared import PreparedRecords
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.task_runtime.task import Task
from td_pinterest_op.treasure_data.result import JobRows, open_job_rows
from tests import guard
from tests.emulators.pinterest import AD_ACCOUNT_ID, Answer, Call, Fault
from tests.exporting import SESSION, TASK_NAME, Services, digests, people

ERASE = "td_pinterest_op.erasure.PinterestErasure"
OTHERS = ("549755885176", "549755885177")
ACCOUNTS = (AD_ACCOUNT_ID, *OTHERS)


def run_erasure(services: Services, job_id: str | None = None, **settings: Any) -> dict[str, Any]:
    """Run an erasure, of forty people unless told; `settings` extend its minimal settings."""
    given = {"ad_account_ids": ",".join(ACCOUNTS), "retry_count": 2} | settings
    params = {"session_time": SESSION, "task_name": TASK_NAME, "project_id": 1, "result_settings": given}
    params["job_id"] = job_id or services.job(people(40))
    task = Task(params=params, environ=services.environ)
    stored = erase_people(task, services.time.timing)
    guard.check(json.dumps(stored), "the store")
    return stored


def read_receipt(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The receipt in the log."""
    (line,) = (line for line in caplog.messages if line.startswith("receipt: "))
    receipt: dict[str, Any] = json.loads(line.removeprefix("receipt: "))
    return receipt


@pytest.fixture
def lists(services: Services) -> list[str]:
    """Seven lists in three ad accounts, one without an audience, with fifty people each of whom forty opt out."""
    for account in OTHERS:
        services.pinterest.add_ad_account(account)
    made = [
        services.pinterest.add_list(f"List {number}", ad_account_id=ACCOUNTS[number % 3], members=digests(50))
        for number in range(7)
    ]
    services.pinterest.add_audience("Shoppers", customer_list_id=made[0].id)
    return [customer_list.id for customer_list in made]


def test_erasure_removes_people_from_every_list_and_logs_a_receipt(
    services: Services, lists: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    stored = run_erasure(services, services.job([*people(40), *people(40)]), limit_records_per_request=15)
    for list_id in lists:
        assert services.pinterest.members(list_id) == digests(10, first=40)
    assert (stored["records"], stored["accounts"], stored["lists"]) == (40, 3, 7)
    assert tuple(stored["rows"][name] for name in ("read", "valid", "invalid")) == (80, 80, 0)
    assert stored["requests"]["sent"] == 21
    assert stored["failed"] == []
    assert sorted(lists) == sorted(row["customer_list_id"] for row in stored["receipt"])
    assert {row["records"] for row in stored["receipt"]} == {40}
    assert {len(row["request_ids"]) for row in stored["receipt"]} == {3}
    assert stored["summary"] == "Pinterest was asked to remove 40 records from 7 of 7 customer lists."
    assert "send these people again, unless they are in the lists `suppress`" in caplog.messages[-1]


@pytest.mark.parametrize("had_lists", [True, False])
def test_list_that_is_made_during_the_erasure_is_erased_too(
    services: Services, lists: list[str], had_lists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One while the people are read, one during the last removal, and one during the removal from that one."""
    pinterest = services.pinterest
    made: list[str] = []
    if not had_lists:
        pinterest.lists.clear()
        lists = []
    pinterest.switches.listing_lag_seconds = 5

    def make_list() -> None:
        made.append(pinterest.add_list(f"made {len(made)}", ad_account_id=OTHERS[0], members=digests(50)).id)

    def make_second_list(call: Call) -> None:
        if call.operation == "customer_lists/update" and len(made) in (1, 2) and made[-1] in call.path:
            make_list()

    def read_people(*given: Any, **more: Any) -> JobRows:
        make_list()
        return open_job_rows(*given, **more)

    monkeypatch.setattr(erasure, "open_job_rows", read_people)
    pinterest.on_request(make_second_list)
    stored = run_erasure(services)
    assert len(made) == 3
    assert {*lists, *made} == {row["customer_list_id"] for row in stored["receipt"]}
    for list_id in (*lists, *made):
        assert pinterest.members(list_id) == digests(10, first=40)
    assert stored["lists"] == len(lists) + 3


def test_listing_that_cannot_be_read_again_is_a_failure(services: Services, lists: list[str]) -> None:
    listing = f"/{OTHERS[0]}/customer_lists$"
    services.pinterest.inject(Fault(effect=Answer(status=403), path=listing, after=1, times=None))
    with pytest.raises(PinterestError, match=f"1 of 8 lists may still .*: unread lists of ad account {OTHERS[0]}: "):
        run_erasure(services)
    for list_id in lists:
        assert services.pinterest.members(list_id) == digests(10, first=40)


def test_only_ad_account_is_the_default(services: Services) -> None:
    held = services.pinterest.add_list("List", members=digests(3))
    stored = run_erasure(services, services.job(people(3)), ad_account_ids=None, ad_account_id=AD_ACCOUNT_ID)
    assert services.pinterest.members(held.id) == set()
    assert (stored["accounts"], stored["lists"]) == (1, 1)


def test_unreachable_list_is_named_and_does_not_stop_the_others(
    services: Services, lists: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    services.pinterest.answer(500, path=f"/customer_lists/{lists[2]}$", times=None)
    services.pinterest.answer(403, path=f"/{OTHERS[0]}/customer_lists$", times=None)
    with pytest.raises(PinterestError) as raised:
        run_erasure(services)
    assert f'customer list {lists[2]} "List 2" of ad account {OTHERS[1]}' in str(raised.value)
    assert f"unread lists of ad account {OTHERS[0]}" in str(raised.value)
    assert "Run this task again" in str(raised.value)
    done = [list_id for number, list_id in enumerate(lists) if number % 3 != 1 and number != 2]
    for list_id in done:
        assert services.pinterest.members(list_id) == digests(10, first=40)
    receipt = read_receipt(caplog)
    assert sorted(done) == sorted(row["customer_list_id"] for row in receipt["receipt"])
    assert {row["customer_list_id"] for row in receipt["failed"]} == {lists[2], None}
    assert all(row["reason"] for row in receipt["failed"])


@pytest.mark.parametrize(("bookmark", "unusable"), [("2", []), (None, [None]), (None, [{"name": "no id"}])])
def test_lists_that_were_read_before_a_failure_of_the_listing_are_erased(
    services: Services, lists: list[str], bookmark: str | None, unusable: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    """The second page fails, or an item of the first is malformed."""
    first_page = json.dumps({"items": [{"id": lists[1]}, *unusable, {"id": lists[4]}], "bookmark": bookmark})
    listing = f"/{OTHERS[0]}/customer_lists$"
    services.pinterest.inject(Fault(effect=Answer(status=200, body=first_page), path=listing))
    services.pinterest.answer(403, path=listing, times=None)
    with pytest.raises(PinterestError, match=f"1 of 8 lists may still .*: unread lists of ad account {OTHERS[0]}: "):
        run_erasure(services)
    for list_id in lists:
        assert services.pinterest.members(list_id) == digests(10, first=40)
    receipt = read_receipt(caplog)
    assert sorted(lists) == sorted(row["customer_list_id"] for row in receipt["receipt"])
    assert [(row["ad_account_id"], row["customer_list_id"]) for row in receipt["failed"]] == [(OTHERS[0], None)]


def test_list_that_rejects_a_record_is_not_in_the_receipt(services: Services, lists: list[str]) -> None:
    services.pinterest.switches.poison = frozenset(digests(1))
    with pytest.raises(PinterestError, match="Pinterest accepted 39 of the records, and refused 1"):
        run_erasure(services, ignore_invalid_records=True)
    assert services.pinterest.members(lists[0]) == digests(1) | digests(10, first=40)


def test_dry_run_counts_lists_and_requests_and_writes_nothing(
    services: Services, lists: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    stored = run_erasure(services, dry_run=True, limit_records_per_request=15)
    assert "plan: remove 40 records from each of 7 customer lists in 3 ad accounts, 21 requests" in caplog.text
    assert [] == services.pinterest.calls.writes() == stored["receipt"]
    assert (stored["lists"], stored["records"], stored["dry_run"]) == (7, 40, True)
    assert (
        stored["summary"]
        == "Dry run: Pinterest would be asked to remove 40 records from 7 customer lists; nothing was written."
    )
    assert services.pinterest.members(lists[0]) == digests(50)


def test_unusable_token_ends_an_erasure_before_people_are_read(services: Services, lists: list[str]) -> None:
    services.pinterest.switches.scope = "ads:read"
    with pytest.raises(AccountError, match="the refresh token lacks the scope ads:write"):
        run_erasure(services)
    services.pinterest.inject(Fault(effect=Answer(status=401, code=283), path="/oauth/token$", times=None))
    with pytest.raises(AccountError) as caught:
        run_erasure(services)
    assert caught.value.refused_token
    assert not services.td.requests


def test_ad_account_with_unreadable_lists_fails_a_dry_run_too(
    services: Services, lists: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    services.pinterest.answer(403, path=f"/{OTHERS[0]}/customer_lists$", times=None)
    with pytest.raises(PinterestError, match=f"unread lists of ad account {OTHERS[0]}"):
        run_erasure(services, dry_run=True)
    receipt = read_receipt(caplog)
    assert "customer lists; lists of 1 ad account cannot be read" in receipt["summary"]
    assert [(row["ad_account_id"], row["customer_list_id"]) for row in receipt["failed"]] == [(OTHERS[0], None)]
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize("columns", [("email",), ("maid", "email"), tuple(CUSTOMER_LIST_TYPES)])
def test_missing_types_of_identifier_stay_in_the_lists_with_a_warning(
    services: Services,
    lists: list[str],
    columns: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = [[people(1)[0] if column == "email" else None for column in columns]]
    run_erasure(services, services.td.add_job(columns=[(column, "varchar") for column in columns], rows=rows))
    told = [line.partition(",")[0] for line in caplog.messages if line.startswith("the query selects no")]
    missing = " and ".join(f"no {name}" for name in CUSTOMER_LIST_TYPES if name not in columns)
    assert told == [f"the query selects {missing}"] * bool(missing)


def test_erasure_of_nobody_succeeds_without_a_request(services: Services, lists: list[str]) -> None:
    stored = run_erasure(services, services.job([]))
    assert [] == services.pinterest.calls.writes() == stored["receipt"]


@pytest.mark.parametrize(
    ("values", "settings", "raised"),
    [
        ([*people(3), "nobody"], {}, InvalidRowsError),
        (["nobody"], {"ignore_invalid_records": True}, InvalidRowsError),
        (people(3), {"columns": {"phone": "email"}}, JobError),
    ],
)
def test_invalid_rows_stop_an_erasure_before_the_first_write(
    services: Services, lists: list[str], values: list[str], settings: dict[str, Any], raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        run_erasure(services, services.job(values), **settings)
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize("operation", ["customer_lists/list", "customer_lists/update"])
def test_stopped_erasure_ends_at_once_and_reports_no_list(
    services: Services,
    lists: list[str],
    operation: str,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    services.pinterest.on_request(lambda call: shutdown.request_end("SIGTERM") if call.operation == operation else None)
    services.pinterest.answer(503, operation=operation, times=None)
    request.addfinalizer(shutdown.clear_request)
    with pytest.raises(StoppedError, match=r"was stopped \(SIGTERM\)"):
        run_erasure(services)
    assert len(services.pinterest.calls.of(operation)) == 1
    assert "cannot be read" not in caplog.text
    assert "receipt" not in caplog.text
    assert services.pinterest.members(lists[0]) == digests(50)


def test_list_to_which_a_record_was_not_sent_is_not_in_the_receipt(
    services: Services, lists: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    batches = PreparedRecords.read_batches
    monkeypatch.setattr(PreparedRecords, "read_batches", lambda self, size: islice(batches(self, size), 2))
    with pytest.raises(PinterestError, match=r"7 of 7 lists may still contain people who opted out: .*accepted 30 of"):
        run_erasure(services, limit_records_per_request=15)
    assert read_receipt(caplog)["receipt"] == []


def test_error_about_several_lists_ends_with_the_advice_once(services: Services, lists: list[str]) -> None:
    services.pinterest.answer(403, operation="customer_lists/update", times=None)
    with pytest.raises(PinterestError) as caught:
        run_erasure(services)
    message = str(caught.value)
    assert message.count("must give the authorising user a role") == 1
    assert message.index("Lists that are finished: 0. ") < message.index("The owner of the ad account must give")
    assert "Repeating the whole erasure does no harm" in message
    assert [f"ad account {account}" for account in ACCOUNTS if f"(ad account {account}" in message] == []
