"""Each switch of the emulator for a behaviour that is not established, and its effect on a client."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.clock import FakeTime
from tests.contract.sdk import ACCOUNT, PEOPLE, Sdk, refresh_access_token
from tests.emulators.pinterest import (
    AD_ACCOUNT_ID,
    REFRESH_TOKEN,
    Answer,
    Fault,
    Pinterest,
    Switches,
    When,
    serve_pinterest,
)


class Caller:
    """Requests over one kept-alive connection, with a fresh access token."""

    def __init__(self, endpoint: str, pinterest: Pinterest) -> None:
        self._url = f"{endpoint}/ad_accounts/{AD_ACCOUNT_ID}"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {pinterest.tokens.issue_access_token()}"

    def __call__(self, method: str, path: str, body: Any = None) -> requests.Response:
        return self._session.request(method, self._url + path, json=body, timeout=10)

    def create_list(self, name: str = "people", **body: Any) -> Any:
        return self("POST", "/customer_lists", {"name": name, "records": PEOPLE[0]} | body).json()

    def create_audience(self, list_id: str, **body: Any) -> requests.Response:
        rule = {"customer_list_id": list_id}
        return self("POST", "/audiences", {"audience_type": "CUSTOMER_LIST", "name": "x", "rule": rule} | body)

    def names(self, kind: str) -> list[str]:
        return [entry["name"] for entry in self("GET", f"/{kind}").json()["items"]]

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def pinterest(fake_time: FakeTime) -> Pinterest:
    switches = Switches(records_required=False)
    return Pinterest(switches=switches, clock=fake_time.now, monotonic=fake_time.now)


@pytest.fixture
def call(pinterest: Pinterest) -> Iterator[Caller]:
    with serve_pinterest(state=pinterest) as (_, endpoint):
        caller = Caller(endpoint, pinterest)
        yield caller
        caller.close()


# -- creating -------------------------------------------------------------------------------------------------------


def test_records_of_a_creation_are_counted_and_kept(pinterest: Pinterest, call: Caller) -> None:
    pinterest.switches.records_required = True
    made = call.create_list(records=",".join(PEOPLE[:3]))
    assert (3, 1) == (made["num_uploaded_user_records"], made["num_batches"])
    assert set(PEOPLE[:3]) == pinterest.members(made["id"])
    assert [3] == [request.records for request in pinterest.calls.of("customer_lists/create")]


def test_body_of_a_list_and_a_rule_may_name_the_ad_account(call: Caller) -> None:
    made = call.create_list(ad_account_id=AD_ACCOUNT_ID)
    rule = {"customer_list_id": made["id"], "ad_account_id": AD_ACCOUNT_ID}
    assert 200 == call.create_audience(made["id"], rule=rule).status_code


# -- reads that lag -------------------------------------------------------------------------------------------------


def test_listings_lag_behind_creations_renames_and_removals(
    pinterest: Pinterest, call: Caller, fake_time: FakeTime
) -> None:
    seeded = pinterest.add_list("seeded")
    pinterest.switches.listing_lag_seconds = 2.0
    made = call.create_audience(seeded.id, name="first").json()
    call.create_list("made")
    assert ([], ["seeded"]) == (call.names("audiences"), call.names("customer_lists"))
    fake_time.sleep(2.0)
    assert (["first"], ["seeded", "made"]) == (call.names("audiences"), call.names("customer_lists"))
    call("PATCH", f"/audiences/{made['id']}", {"operation_type": "UPDATE", "name": "second"})
    assert ["first"] == call.names("audiences")
    fake_time.sleep(2.0)
    assert ["second"] == call.names("audiences")
    call("PATCH", f"/audiences/{made['id']}", {"operation_type": "REMOVE"})
    assert ["second"] == call.names("audiences")
    fake_time.sleep(2.0)
    assert [] == call.names("audiences")


def test_single_reads_may_lag_without_the_listings(pinterest: Pinterest, call: Caller, fake_time: FakeTime) -> None:
    pinterest.switches.reading_lag_seconds = 12.0
    made = call.create_list("made")
    path = f"/customer_lists/{made['id']}"
    assert (404, ["made"]) == (call("GET", path).status_code, call.names("customer_lists"))
    fake_time.sleep(12.0)
    call("PATCH", path, {"operation_type": "ADD", "records": PEOPLE[1]})
    assert 1 == call("GET", path).json()["num_batches"]
    fake_time.sleep(12.0)
    assert 2 == call("GET", path).json()["num_batches"]


# -- writes ---------------------------------------------------------------------------------------------------------


def test_audience_can_be_moved_to_a_newer_list_over_http(
    pinterest: Pinterest, call: Caller, fake_time: FakeTime
) -> None:
    audience = pinterest.add_audience("x", customer_list_id=pinterest.add_list("old").id)
    root = call._url.split("/v5")[0]
    fields = {"audience_id": audience.id, "name": "x (td 0a0a0a0a 9000009 0b0b0b0b)", "members": PEOPLE[:2]}
    moved = requests.post(f"{root}/_test/move", json=fields, timeout=10).json()
    assert moved["customer_list_id"] == call("GET", f"/audiences/{audience.id}").json()["rule"]["customer_list_id"]
    assert set(PEOPLE[:2]) == pinterest.members_of_audience(audience.id)


# -- the wire -------------------------------------------------------------------------------------------------------

BIG = {"operation_type": "ADD", "records": ",".join(PEOPLE * 400)}  # 6.5 MB: more than the kernel takes unread


BROKEN = "broken connection"


def send_large_batch(call: Caller, path: str) -> int | str:
    """Send a large batch; return its status, or BROKEN, as an early response may be lost with the connection."""
    try:
        return call("PATCH", path, BIG).status_code
    except requests.ConnectionError:
        return BROKEN


@pytest.mark.parametrize(("answer", "met"), [("413", {413}), ("413 and close", {413, BROKEN}), ("drop", {BROKEN})])
def test_too_large_body_is_refused_and_a_smaller_one_accepted(
    pinterest: Pinterest, call: Caller, answer: str, met: set[int | str]
) -> None:
    held = pinterest.add_list("people")
    pinterest.switches.set({"largest_body": 100_000, "large_body_answer": answer})
    path = f"/customer_lists/{held.id}"
    assert send_large_batch(call, path) in met
    assert set() == pinterest.members(held.id)
    assert 200 == call("PATCH", path, BIG | {"records": ",".join(PEOPLE)}).status_code


def test_response_may_close_the_connection_before_the_body_is_read(pinterest: Pinterest, call: Caller) -> None:
    held = pinterest.add_list("people")
    pinterest.inject(Fault(effect=Answer(status=413, closes=True), when=When.ARRIVAL))
    assert send_large_batch(call, f"/customer_lists/{held.id}") in (413, BROKEN)
    assert 200 == call("PATCH", f"/customer_lists/{held.id}", BIG).status_code


# -- tokens and access ----------------------------------------------------------------------------------------------


def test_refresh_may_end_earlier_tokens_at_once(pinterest: Pinterest, call: Caller) -> None:
    pinterest.switches.set({"refresh_ends_access_tokens": True, "rotate_refresh_tokens": True})
    assert 200 == call("GET", "/audiences").status_code
    refresh_access_token(Sdk(call._url.split("/ad_accounts")[0], None))
    assert 401 == call("GET", "/audiences").status_code
    assert REFRESH_TOKEN not in pinterest.tokens.refresh_tokens()


def test_published_client_reads_responses_that_switches_change(pinterest: Pinterest, call: Caller) -> None:
    pinterest.switches.set({"long_audience_ids": True, "records_required": True})
    pinterest.switches.list_exceptions = {"message": "2 records of an earlier upload"}
    sdk = Sdk(call._url.split("/ad_accounts")[0], pinterest.tokens.issue_access_token())
    made = sdk.create_list("people", PEOPLE[:2])
    audience = sdk.create_audience("customers", made.id)
    assert 19 == len(audience.id)
    assert made.id == sdk.get_audience(audience.id).rule.customer_list_id
    read = sdk.lists.customer_lists_get(**ACCOUNT, customer_list_id=made.id)
    assert pinterest.switches.list_exceptions == read.exceptions
