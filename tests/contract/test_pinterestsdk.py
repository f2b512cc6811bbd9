"""The Pinterest emulator against the client published for the API description 5.28.0."""

import hashlib
import itertools
from typing import Any

import pytest

from tests.contract.sdk import ACCOUNT, PEOPLE, Sdk, error_code, pinterestsdk, refresh_access_token
from tests.emulators.pinterest import (
    AD_ACCOUNT_ID,
    Pinterest,
)

# -- OAuth ----------------------------------------------------------------------------------------------------------


def test_refresh_returns_an_access_token_for_thirty_days(pinterest: Pinterest, sdk: Sdk) -> None:
    token = refresh_access_token(sdk)
    assert (token.expires_in, token.token_type, token.scope) == (30 * 86400, "bearer", "ads:read ads:write")
    assert token.refresh_token is None
    assert 59 * 86400 < token.refresh_token_expires_in <= 60 * 86400


def test_wrong_client_secret_is_refused(emulator_with_url: tuple[Pinterest, str]) -> None:
    sdk = Sdk(emulator_with_url[1], None)
    sdk.oauth.api_client.configuration.password = "wrong"
    with pytest.raises(pinterestsdk.exceptions.UnauthorizedException) as caught:
        refresh_access_token(sdk)
    assert error_code(caught.value) == 2


def test_token_without_write_scope_may_only_read(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.switches.scope = "ads:read"
    reader = Sdk(sdk.endpoint, refresh_access_token(sdk).access_token)
    assert reader.lists.customer_lists_list(**ACCOUNT).items == []
    with pytest.raises(pinterestsdk.exceptions.UnauthorizedException) as caught:
        reader.create_list("x")
    assert error_code(caught.value) == 3


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


# -- customer lists -------------------------------------------------------------------------------------------------


def test_list_holds_added_people_without_removed_ones(pinterest: Pinterest, sdk: Sdk) -> None:
    made = sdk.create_list("people", PEOPLE[:100])
    sdk.update_list(made.id, "ADD", ",".join(PEOPLE[50:200]))
    sdk.update_list(made.id, "REMOVE", ",".join(PEOPLE[:10]))
    assert pinterest.members(made.id) == set(PEOPLE[10:200])


def test_counters_rise_also_for_records_without_effect(sdk: Sdk) -> None:
    made = sdk.create_list("people", PEOPLE[:5])
    sdk.update_list(made.id, "ADD", ",".join(PEOPLE[:5]))
    sdk.update_list(made.id, "REMOVE", ",".join(PEOPLE[10:13]))
    read = sdk.lists.customer_lists_get(**ACCOUNT, customer_list_id=made.id)
    assert (read.num_batches, read.num_uploaded_user_records, read.num_removed_user_records) == (3, 10, 3)


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


BAD = [
    PEOPLE[0].upper(),
    PEOPLE[0][:63],
    PEOPLE[0] + "0",
    "someone@example.org",
    hashlib.md5(b"x").hexdigest(),
    "",
    PEOPLE[0][:63] + "é",
    " " + PEOPLE[0],
    PEOPLE[0][:32] + "," + PEOPLE[0][33:],
]


@pytest.mark.parametrize(("bad", "operation"), list(zip(BAD, itertools.cycle(["ADD", "REMOVE"]), strict=False)))
def test_invalid_record_refuses_the_batch_and_changes_nothing(
    pinterest: Pinterest, sdk: Sdk, bad: str, operation: str
) -> None:
    made = sdk.create_list("people", PEOPLE[:3])
    for records in (f"{PEOPLE[0]},{bad},{PEOPLE[9]}", f"{PEOPLE[0]},{bad}", bad):
        with pytest.raises(pinterestsdk.exceptions.BadRequestException) as caught:
            sdk.update_list(made.id, operation, records)
        assert error_code(caught.value) == 1
        assert not bad or bad not in str(caught.value.body)
    assert pinterest.members(made.id) == set(PEOPLE[:3])


# -- audiences ------------------------------------------------------------------------------------------------------


def test_audience_is_created_on_a_list_and_moved_to_another(pinterest: Pinterest, sdk: Sdk) -> None:
    old = sdk.create_list("old", PEOPLE[:100])
    new = sdk.create_list("new", PEOPLE[:120])
    made = sdk.create_audience("customers", old.id)
    assert (made.size, made.status) == (100, "READY")
    sdk.update_audience(made.id, "UPDATE", rule=pinterestsdk.AdAccountsAudienceRule(customer_list_id=new.id))
    read = sdk.get_audience(made.id)
    assert (read.rule.customer_list_id, read.size, read.name) == (new.id, 120, "customers")


def test_audience_on_a_list_of_another_ad_account_is_refused(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.add_ad_account("549755885178")
    foreign = pinterest.add_list("foreign", ad_account_id="549755885178")
    with pytest.raises(pinterestsdk.exceptions.BadRequestException) as caught:
        sdk.create_audience("customers", foreign.id)
    assert error_code(caught.value) == 400


@pytest.mark.parametrize("second_remove", ["accepted", "404"])
def test_removed_audience_is_not_listed_and_may_be_gone(pinterest: Pinterest, sdk: Sdk, second_remove: str) -> None:
    pinterest.switches.removed_audiences = "gone"
    pinterest.switches.second_remove = second_remove
    made = sdk.create_audience("customers", sdk.create_list("people").id)
    assert made.id == sdk.update_audience(made.id, "REMOVE").id
    assert sdk.audiences.audiences_list(**ACCOUNT).items == []
    with pytest.raises(pinterestsdk.exceptions.NotFoundException):
        sdk.get_audience(made.id)
    if second_remove == "accepted":
        assert made.id == sdk.update_audience(made.id, "REMOVE").id
    else:
        with pytest.raises(pinterestsdk.exceptions.NotFoundException):
            sdk.update_audience(made.id, "REMOVE")


def test_received_audiences_are_listed_only_on_request(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.add_ad_account("549755885178")
    owned = pinterest.add_audience("same name")
    received = pinterest.add_audience(
        "theirs", ad_account_id="549755885178", audience_type="VISITOR", shared_with=[AD_ACCOUNT_ID]
    )
    kinds = pinterestsdk.AudienceOwnershipType
    for wanted, listed in (
        ({"ownership_type": kinds.OWNED}, [owned.id]),
        ({"ownership_type": kinds.RECEIVED}, [received.id]),
        ({}, [owned.id, received.id]),
    ):
        assert [item.id for item in sdk.audiences.audiences_list(**ACCOUNT, **wanted).items] == listed
    assert sdk.get_audience(received.id).ad_account_id == "549755885178"
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
    assert (caught.value.status, error_code(caught.value)) == (429, 8)
    assert headers["x-ratelimit-limit"].startswith("2, ")
    assert '2;w=60;name="ads_write"' in headers["x-ratelimit-limit"]
    assert (headers["x-ratelimit-remaining"], headers["x-ratelimit-reset"]) == ("0", headers["Retry-After"])
    assert 0 < int(headers["Retry-After"]) <= 60
    assert headers["x-pinterest-rid"]
    assert len(pinterest.lists_named("x")) == 2
