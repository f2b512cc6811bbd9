"""Rows with several keys and look-alike audiences, as the published client sends them."""

from __future__ import annotations

from typing import Any

import pinterestsdk
import pytest
import requests
from pinterestsdk.exceptions import BadRequestException

from tests.contract.sdk import ACCOUNT, PEOPLE, Sdk, patch
from tests.emulators.pinterest import AD_ACCOUNT_ID, Pinterest

ROW = {"email": PEOPLE[0], "maid": PEOPLE[1], "hashed_phone_number": PEOPLE[2], "external_id": "A-17"}


def rows(*of: dict[str, str]) -> list[Any]:
    return [pinterestsdk.CustomerListRecordRow(**row) for row in of]


def create(sdk: Sdk, name: str, *of: dict[str, str], **fields: Any) -> Any:
    body = pinterestsdk.CustomerListCreate(name=name, records_v2=rows(*of), **fields)
    return sdk.lists.customer_lists_create(**ACCOUNT, customer_list_create=body)


def test_a_row_is_one_record_with_all_its_keys(pinterest: Pinterest, sdk: Sdk) -> None:
    made = create(sdk, "rows", ROW, {"email": PEOPLE[3]})
    assert (2, 5) == (made.num_uploaded_user_records, len(pinterest.members(made.id)))
    assert {*PEOPLE[:4]} < pinterest.members(made.id)


def test_a_removed_row_takes_all_its_keys(pinterest: Pinterest, sdk: Sdk) -> None:
    made = create(sdk, "rows", ROW, {"email": PEOPLE[3]})
    body = pinterestsdk.CustomerListUpdateWithRequiredBody(
        operation_type=pinterestsdk.UserListOperationType.REMOVE, records_v2=rows(ROW)
    )
    sdk.lists.customer_lists_update(**ACCOUNT, customer_list_id=made.id, customer_list_update_with_required_body=body)
    assert {PEOPLE[3]} == pinterest.members(made.id)


@pytest.mark.parametrize(
    "row",
    [
        {"email": "ann@lee.example"},
        {"email": PEOPLE[0].upper()},
        {"maid": PEOPLE[0][:32]},
        {"hashed_phone_number": "12025550143"},
        {"phone": PEOPLE[0]},
        {"external_id": ""},
        {},
    ],
)
def test_a_row_that_is_not_as_described_is_refused(pinterest: Pinterest, sdk: Sdk, row: dict[str, str]) -> None:
    list_id = create(sdk, "rows", ROW).id
    refused = patch(sdk, pinterest, list_id, json={"operation_type": "ADD", "records_v2": [row]})
    assert 400 == refused.status_code


def test_exactly_one_of_both_forms_is_taken(pinterest: Pinterest, sdk: Sdk) -> None:
    list_id = create(sdk, "rows", ROW).id
    both = {"operation_type": "ADD", "records_v2": [ROW], "records": PEOPLE[0]}
    answers = [patch(sdk, pinterest, list_id, json=body) for body in (both, {"operation_type": "ADD"})]
    assert [400, 400] == [answer.status_code for answer in answers]


def test_a_server_of_before_refuses_rows(pinterest: Pinterest, sdk: Sdk) -> None:
    pinterest.switches.takes_rows = False
    with pytest.raises(BadRequestException):
        create(sdk, "rows", ROW)


def test_lists_for_new_customers_can_be_left_out_of_a_listing(sdk: Sdk) -> None:
    usual, new = create(sdk, "usual", ROW).id, create(sdk, "new", ROW, is_nca=True).id
    listed = sdk.lists.customer_lists_list(**ACCOUNT).items
    assert [(usual, False), (new, True)] == [(item.id, item.is_nca) for item in listed]
    assert [usual] == [item.id for item in sdk.lists.customer_lists_list(**ACCOUNT, exclude_nca=True).items]


def actalike(sdk: Sdk, **rule: Any) -> Any:
    body = pinterestsdk.AdAccountsAudienceCreate(
        **ACCOUNT,
        name="alike",
        audience_type=pinterestsdk.AudienceType.ACTALIKE,
        rule=pinterestsdk.AdAccountsAudienceRule(**rule),
    )
    return sdk.audiences.audiences_create(**ACCOUNT, ad_accounts_audience_create=body)


def test_a_look_alike_audience_stands_on_its_seed(pinterest: Pinterest, sdk: Sdk) -> None:
    seed = pinterest.add_audience("seed", customer_list_id=pinterest.add_list("list", members=PEOPLE[:150]).id)
    made = actalike(
        sdk,
        seed_id=[seed.id],
        country="US",
        percentage=10,
    )
    assert "ACTALIKE" == made.audience_type
    assert seed.id in pinterest.audiences[made.id].rule["seed_id"]


@pytest.mark.parametrize(
    ("members", "account", "changes"),
    [
        (99, AD_ACCOUNT_ID, {}),
        (150, "549755885178", {}),
        (150, AD_ACCOUNT_ID, {"country": "DE"}),
        (150, AD_ACCOUNT_ID, {"percentage": 11}),
        (150, AD_ACCOUNT_ID, {"seed_id": ["7"]}),
    ],
)
def test_one_that_cannot_be_is_refused(
    pinterest: Pinterest, sdk: Sdk, members: int, account: str, changes: dict[str, Any]
) -> None:
    if account not in pinterest.accounts:
        pinterest.add_ad_account(account)
    behind = pinterest.add_list("list", ad_account_id=account, members=PEOPLE[:members])
    seed = pinterest.add_audience("seed", ad_account_id=account, customer_list_id=behind.id)
    rule = {"seed_id": [seed.id], "country": "US", "percentage": 5} | changes
    body = {"audience_type": "ACTALIKE", "name": "alike", "rule": rule}
    headers = {"Authorization": f"Bearer {pinterest.tokens.issue_access_token()}"}
    url = f"{sdk.endpoint}/ad_accounts/{AD_ACCOUNT_ID}/audiences"
    assert 400 == requests.post(url, headers=headers, json=body, timeout=10).status_code
