"""The Pinterest emulator against the client published for the API description 5.28.0."""

import functools
import hashlib
from typing import Any

import pytest
import requests

from tests.contract.sdk import ACCOUNT, PEOPLE, Sdk, error_code, patch_list, pinterestsdk, refresh_access_token
from tests.emulators.pinterest import (
    AD_ACCOUNT_ID,
    Answer,
    Call,
    Effect,
    Fault,
    Mangle,
    Pinterest,
    Redirect,
    Reset,
    Stall,
    StopReading,
    Switches,
    When,
    serve_pinterest,
)

# -- OAuth ----------------------------------------------------------------------------------------------------------


def test_refresh_returns_an_access_token_for_thirty_days(pinterest: Pinterest, sdk: Sdk) -> None:
    token = refresh_access_token(sdk)
    assert (30 * 86400, "bearer", "ads:read ads:write") == (token.expires_in, token.token_type, token.scope)
    assert token.refresh_token is None
    assert 59 * 86400 < token.refresh_token_expires_in <= 60 * 86400


def test_wrong_client_secret_is_refused(emulator_with_url: tuple[Pinterest, str]) -> None:
    sdk = Sdk(emulator_with_url[1], None)
    sdk.oauth.api_client.configuration.password = "wrong"
    with pytest.raises(pinterestsdk.exceptions.UnauthorizedException) as caught:
        refresh_access_token(sdk)
    assert 2 == error_code(caught.value)


def test_revoked_access_token_is_refused(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.tokens.revoke_access_tokens()
    with pytest.raises(pinterestsdk.exceptions.UnauthorizedException) as caught:
        sdk.create_list("x")
    assert 2 == error_code(caught.value)


def test_token_without_write_scope_may_only_read(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.switches.scope = "ads:read"
    reader = Sdk(sdk.endpoint, refresh_access_token(sdk).access_token)
    assert [] == reader.lists.customer_lists_list(**ACCOUNT).items
    with pytest.raises(pinterestsdk.exceptions.UnauthorizedException) as caught:
        reader.create_list("x")
    assert 3 == error_code(caught.value)


# -- ad accounts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ad_account_id", "error", "code"),
    [("549755885176", "ForbiddenException", 29), ("549755885177", "NotFoundException", 2)],
)
def test_inaccessible_and_unknown_ad_accounts_are_refused(
    pinterest: Pinterest, sdk: Sdk, ad_account_id: str, error: str, code: int
) -> None:
    pinterest.add_ad_account("549755885176", owner=pinterest.add_user("somebody else"))
    with pytest.raises(getattr(pinterestsdk.exceptions, error)) as caught:
        sdk.audiences.audiences_list(ad_account_id=ad_account_id)
    assert code == error_code(caught.value)


def test_overview_page_is_served(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.add_ad_account("549755885176")
    page = requests.get(sdk.endpoint.removesuffix("/v5"), timeout=10)
    assert (200, True) == (page.status_code, "549755885176" in page.text)


# -- customer lists -------------------------------------------------------------------------------------------------


def test_list_holds_added_people_without_removed_ones(pinterest: Pinterest, sdk: Sdk) -> None:
    made = sdk.create_list("people", PEOPLE[:100])
    sdk.update_list(made.id, "ADD", ",".join(PEOPLE[50:200]))
    sdk.update_list(made.id, "REMOVE", ",".join(PEOPLE[:10]))
    assert set(PEOPLE[10:200]) == pinterest.members(made.id)


def test_counters_rise_also_for_records_without_effect(sdk: Sdk) -> None:
    made = sdk.create_list("people", PEOPLE[:5])
    sdk.update_list(made.id, "ADD", ",".join(PEOPLE[:5]))
    sdk.update_list(made.id, "REMOVE", ",".join(PEOPLE[10:13]))
    read = sdk.lists.customer_lists_get(**ACCOUNT, customer_list_id=made.id)
    assert (3, 10, 3) == (read.num_batches, read.num_uploaded_user_records, read.num_removed_user_records)


def test_list_is_too_small_below_a_hundred_people(sdk: Sdk) -> None:
    assert "TOO_SMALL" == sdk.create_list("small", PEOPLE[:99]).status
    assert "READY" == sdk.create_list("large", PEOPLE[:100]).status


def test_list_without_records_is_empty(pinterest: Pinterest, sdk: Sdk) -> None:
    assert set() == pinterest.members(sdk.create_list("empty").id)


@pytest.mark.parametrize("order", ["ASCENDING", "DESCENDING"])
def test_lists_are_listed_over_pages(sdk: Sdk, order: str) -> None:
    made = [sdk.create_list("same name").id for _ in range(7)]
    assert all(15 <= len(list_id) <= 18 for list_id in made)
    seen: list[str] = []
    bookmark = None
    while bookmark is not None or not seen:
        page = sdk.lists.customer_lists_list(
            **ACCOUNT, page_size=3, bookmark=bookmark, order=pinterestsdk.PinterestLibPaginationOrder(order)
        )
        seen += [item.id for item in page.items]
        bookmark = page.bookmark
    assert sorted(made, reverse=order == "DESCENDING") == seen


@pytest.mark.parametrize(
    "bad",
    [
        PEOPLE[0].upper(),
        PEOPLE[0][:63],
        PEOPLE[0] + "0",
        "someone@example.org",
        hashlib.md5(b"x").hexdigest(),
        "",
        PEOPLE[0][:63] + "é",
        " " + PEOPLE[0],
        PEOPLE[0][:32] + "," + PEOPLE[0][33:],
    ],
)
@pytest.mark.parametrize("operation", ["ADD", "REMOVE"])
def test_invalid_record_refuses_the_batch_and_changes_nothing(
    pinterest: Pinterest, sdk: Sdk, bad: str, operation: str
) -> None:
    made = sdk.create_list("people", PEOPLE[:3])
    for records in (f"{PEOPLE[0]},{bad},{PEOPLE[9]}", f"{PEOPLE[0]},{bad}", bad):
        with pytest.raises(pinterestsdk.exceptions.BadRequestException) as caught:
            sdk.update_list(made.id, operation, records)
        assert 1 == error_code(caught.value)
        assert not bad or bad not in str(caught.value.body)
    assert set(PEOPLE[:3]) == pinterest.members(made.id)


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"operation_type": "ADD", "records": PEOPLE[0], "surprise": 1}},
        {"json": {"operation_type": "ADD", "records": [PEOPLE[0]]}},
        {"json": {"operation_type": "ADD"}},
        {"json": {"operation_type": "REPLACE", "records": PEOPLE[0]}},
        {"json": {"records": PEOPLE[0]}},
        {"json": [PEOPLE[0]]},
        {"data": b"{", "headers": {"Content-Type": "application/json"}},
        {"data": b'{"operation_type": "ADD", "records": ""}'},
    ],
)
def test_body_of_another_shape_is_refused(pinterest: Pinterest, sdk: Sdk, sent: dict[str, Any]) -> None:
    held = pinterest.add_list("people")
    response = patch_list(sdk, pinterest, held.id, **sent)
    assert (400, 1) == (response.status_code, response.json()["code"])
    assert set() == pinterest.members(held.id)


def test_id_that_is_not_digits_is_refused(pinterest: Pinterest, sdk: Sdk) -> None:
    body = {"operation_type": "ADD", "records": PEOPLE[0]}
    assert [400, 400, 404] == [
        patch_list(sdk, pinterest, audience_id, json=body).status_code for audience_id in ("x", "1" * 19, "1")
    ]


# -- audiences ------------------------------------------------------------------------------------------------------


def test_audience_is_created_on_a_list_and_moved_to_another(pinterest: Pinterest, sdk: Sdk) -> None:
    old, new = sdk.create_list("old", PEOPLE[:100]), sdk.create_list("new", PEOPLE[:120])
    made = sdk.create_audience("customers", old.id)
    assert (100, "READY") == (made.size, made.status)
    sdk.update_audience(made.id, "UPDATE", rule=pinterestsdk.AdAccountsAudienceRule(customer_list_id=new.id))
    read = sdk.get_audience(made.id)
    assert (new.id, 120, "customers") == (read.rule.customer_list_id, read.size, read.name)


def test_audience_on_a_list_of_another_ad_account_is_refused(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.add_ad_account("549755885178")
    foreign = pinterest.add_list("foreign", ad_account_id="549755885178")
    with pytest.raises(pinterestsdk.exceptions.BadRequestException) as caught:
        sdk.create_audience("customers", foreign.id)
    assert 400 == error_code(caught.value)


@pytest.mark.parametrize("second_remove", ["accepted", "404"])
def test_removed_audience_is_not_listed_and_may_be_gone(pinterest: Pinterest, sdk: Sdk, second_remove: str) -> None:
    pinterest.switches.removed_audiences, pinterest.switches.second_remove = "gone", second_remove
    made = sdk.create_audience("customers", sdk.create_list("people").id)
    assert made.id == sdk.update_audience(made.id, "REMOVE").id
    assert [] == sdk.audiences.audiences_list(**ACCOUNT).items
    with pytest.raises(pinterestsdk.exceptions.NotFoundException):
        sdk.get_audience(made.id)
    if second_remove == "accepted":
        assert made.id == sdk.update_audience(made.id, "REMOVE").id
    else:
        with pytest.raises(pinterestsdk.exceptions.NotFoundException):
            sdk.update_audience(made.id, "REMOVE")


def test_removed_audience_may_be_readable_with_an_undocumented_status(pinterest: Pinterest, sdk: Sdk) -> None:
    made = sdk.create_audience("customers", sdk.create_list("people").id)
    sdk.update_audience(made.id, "REMOVE")
    read = requests.get(
        f"{sdk.endpoint}/ad_accounts/{AD_ACCOUNT_ID}/audiences/{made.id}",
        headers={"Authorization": f"Bearer {pinterest.tokens.issue_access_token()}"},
        timeout=10,
    )
    assert (200, "REMOVED") == (read.status_code, read.json()["status"])


def test_received_audiences_are_listed_only_on_request(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.add_ad_account("549755885178")
    owned = [pinterest.add_audience("same name").id for _ in range(5)]
    received = pinterest.add_audience(
        "theirs", ad_account_id="549755885178", audience_type="VISITOR", shared_with=[AD_ACCOUNT_ID]
    )
    owned_type, received_type = pinterestsdk.AudienceOwnershipType.OWNED, pinterestsdk.AudienceOwnershipType.RECEIVED
    pages = [sdk.audiences.audiences_list(**ACCOUNT, page_size=3, ownership_type=owned_type)]
    while pages[-1].bookmark:
        pages.append(
            sdk.audiences.audiences_list(**ACCOUNT, page_size=3, ownership_type=owned_type, bookmark=pages[-1].bookmark)
        )
    assert owned == [item.id for page in pages for item in page.items]
    assert [received.id] == [
        item.id for item in sdk.audiences.audiences_list(**ACCOUNT, ownership_type=received_type).items
    ]
    assert [*owned, received.id] == [item.id for item in sdk.audiences.audiences_list(**ACCOUNT).items]
    assert "549755885178" == sdk.get_audience(received.id).ad_account_id
    with pytest.raises(pinterestsdk.exceptions.ForbiddenException):
        sdk.update_audience(received.id, "REMOVE")


# -- limits -----------------------------------------------------------------------------------------------------


def test_writes_over_the_limit_get_429_with_the_known_headers(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.switches.limits = {"ads_write": 2}
    for _ in range(2):
        sdk.create_list("x")
    with pytest.raises(pinterestsdk.exceptions.ApiException) as caught:
        sdk.create_list("x")
    headers: Any = caught.value.headers
    assert (429, 8) == (caught.value.status, error_code(caught.value))
    assert headers["x-ratelimit-limit"].startswith("2, ")
    assert '2;w=60;name="ads_write"' in headers["x-ratelimit-limit"]
    assert ("0", headers["Retry-After"]) == (headers["x-ratelimit-remaining"], headers["x-ratelimit-reset"])
    assert 0 < int(headers["Retry-After"]) <= 60
    assert headers["x-pinterest-rid"]
    assert 2 == len(pinterest.lists_named("x"))


def test_limit_is_a_sliding_window_of_a_minute() -> None:
    now = [1000.0]
    limited = Pinterest(switches=Switches(limits={"ads_write": 2}), monotonic=lambda: now[0])
    with serve_pinterest(state=limited) as (_, endpoint):
        held = limited.add_list("people")
        statuses = []
        for now[0] in (1000.0, 1030.0, 1059.0, 1060.0, 1089.0, 1090.0):
            answer = patch_list(
                Sdk(endpoint, None), limited, held.id, json={"operation_type": "ADD", "records": PEOPLE[0]}
            )
            statuses.append((answer.status_code, answer.headers.get("Retry-After")))
    assert [(200, None), (200, None), (429, "1"), (200, None), (429, "1"), (200, None)] == statuses
    # Those that were refused arrived as well: from 1030 to 1089.
    assert 4 == limited.calls.busiest()


# -- faults ---------------------------------------------------------------------------------------------------------


def test_fault_meets_only_the_requests_of_its_turns(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.inject(Fault(effect=Answer(status=503), operation="customer_lists/create", after=1, every=2, times=1))
    outcomes = []
    for _ in range(5):
        try:
            outcomes.append(bool(sdk.create_list("x").id))
        except pinterestsdk.exceptions.ApiException as error:
            outcomes.append(error.status == 500)
    assert [True, True, False, True, True] == outcomes
    assert [200, 200, 503, 200, 200] == [call.status for call in pinterest.calls.of("customer_lists/create")]


NO_ANSWER = "no answer"


def send_ten_thousand(sdk: Sdk, pinterest: Pinterest, list_id: str, *, timeout: float = 30) -> int | str:
    """Send ten thousand records, more than fit before the response; return the status."""
    body = {"operation_type": "ADD", "records": ",".join(PEOPLE * 40)}
    try:
        return patch_list(sdk, pinterest, list_id, json=body, timeout=timeout, allow_redirects=False).status_code
    except requests.RequestException:
        return NO_ANSWER


@pytest.mark.parametrize(
    ("effect", "when", "outcome", "applied"),
    [
        (Answer(status=500), When.BEFORE, 500, False),
        (Answer(status=500), When.AFTER, 500, True),
        (Answer(status=429, retry_after=7, retry_after_is_date=True), When.BEFORE, 429, False),
        (Redirect(location="http://127.0.0.1:9/"), When.BEFORE, 307, False),
        (Reset(), When.ARRIVAL, NO_ANSWER, False),
        (Reset(), When.BEFORE, NO_ANSWER, False),
        (Reset(), When.AFTER, NO_ANSWER, True),
        (Stall(), When.BEFORE, NO_ANSWER, False),
        (Stall(), When.AFTER, NO_ANSWER, True),
        (StopReading(), When.ARRIVAL, NO_ANSWER, False),
        (Mangle(how="truncated"), When.AFTER, NO_ANSWER, True),
        *[
            (Mangle(how=how), When.AFTER, 200, True)
            for how in ("no_id", "exceptions", "error_body", "not_json", "empty")
        ],
        (Mangle(how="exceptions"), When.BEFORE, 200, False),
    ],
)
def test_fault_meets_one_request_before_or_after_it_is_applied(
    pinterest: Pinterest, sdk: Sdk, effect: Effect, when: When, outcome: int | str, applied: bool
) -> None:
    held = pinterest.add_list("people")
    pinterest.inject(Fault(effect=effect, when=when, operation="customer_lists/update"))
    # A busy machine may take a while to answer; one that never answers is not waited for.
    assert outcome == send_ten_thousand(sdk, pinterest, held.id, timeout=0.5 if outcome == NO_ANSWER else 30)
    assert (set(PEOPLE) if applied else set()) == pinterest.members(held.id)
    assert 200 == send_ten_thousand(sdk, pinterest, held.id)
    assert set(PEOPLE) == pinterest.members(held.id)


@pytest.mark.parametrize(
    ("switches", "status", "held"),
    [
        ({"poison": {PEOPLE[7]}}, 400, set()),
        ({"poison": {PEOPLE[7]}, "poison_answer": "exceptions"}, 200, {*PEOPLE} - {PEOPLE[7]}),
        ({"max_records": 9_999}, 413, set()),
        ({"max_records": 10_000}, 200, {*PEOPLE}),
        ({"scope": ""}, 401, set()),
        ({"limits": {"ads_write": 0}}, 429, set()),
    ],
)
def test_poisoned_batch_is_refused_or_reported_as_exceptions(
    pinterest: Pinterest, sdk: Sdk, switches: dict[str, Any], status: int, held: set[str]
) -> None:
    made = pinterest.add_list("people")
    pinterest.switches.set(switches)
    assert status == send_ten_thousand(sdk, pinterest, made.id)
    assert held == pinterest.members(made.id)


@pytest.mark.parametrize("echoes", [False, True])
@pytest.mark.parametrize("records", [{"records": "j@x.org"}, {"records_v2": [{"email": "j@x.org"}]}], ids=str)
def test_error_quotes_records_only_with_its_switch(
    pinterest: Pinterest, sdk: Sdk, echoes: bool, records: dict[str, Any]
) -> None:
    pinterest.switches.echo_records_in_errors = echoes
    held = pinterest.add_list("people")
    pinterest.inject(Fault(effect=Answer(status=500), operation_type="REMOVE"))
    for _ in range(2):
        answer = patch_list(sdk, pinterest, held.id, json={"operation_type": "REMOVE", **records})
        assert echoes == ("j@x.org" in answer.text)


def test_callback_is_called_at_its_moment(pinterest: Pinterest, sdk: Sdk) -> None:
    seen: list[tuple[str, int, int]] = []
    held = pinterest.add_list("people")

    def note(when: When, call: Call) -> None:
        seen.append((when.name, call.records, len(pinterest.members(held.id))))

    for when in When:
        pinterest.on_request(functools.partial(note, when), when=when)
    sdk.update_list(held.id, "ADD", ",".join(PEOPLE[:3]))
    assert [("ARRIVAL", 0, 0), ("BEFORE", 3, 0), ("AFTER", 3, 3)] == seen
