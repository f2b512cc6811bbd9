"""Rows with several keys, lists for new customers, and look-alikes: the emulator against the published client."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.contract.sdk import ACCOUNT, PEOPLE, Sdk, patch_list, pinterestsdk
from tests.emulators.pinterest import Pinterest

PERSON = {"email": PEOPLE[0], "maid": PEOPLE[1], "hashed_phone_number": PEOPLE[2]}
OTHER = {"email": PEOPLE[3], "external_id": "customer-4"}


def create_list(sdk: Sdk, name: str = "people", *rows: dict[str, str], **fields: Any) -> Any:
    return sdk.create_list(name, records_v2=build_records(rows), **fields)


def update_list(sdk: Sdk, list_id: str, operation: str, *rows: dict[str, str]) -> Any:
    return sdk.update_list(list_id, operation, records_v2=build_records(rows))


def build_records(rows: Sequence[dict[str, str]]) -> list[Any]:
    return [pinterestsdk.CustomerListRecordRow(**row) for row in rows]


# -- rows -----------------------------------------------------------------------------------------------------------


def test_row_adds_and_removes_all_its_keys_as_one_record(pinterest: Pinterest, sdk: Sdk) -> None:
    made = create_list(sdk, "people", PERSON)
    assert (made.num_uploaded_user_records, made.num_batches) == (1, 1)
    assert pinterest.members(made.id) == set(PEOPLE[:3])
    assert update_list(sdk, made.id, "ADD", OTHER).num_uploaded_user_records == 2
    assert update_list(sdk, made.id, "REMOVE", PERSON).num_removed_user_records == 1
    assert PEOPLE[3] in pinterest.members(made.id)
    assert pinterest.members(made.id).isdisjoint(PEOPLE[:3])
    update_list(sdk, made.id, "REMOVE", OTHER)
    assert pinterest.members(made.id) == set()


@pytest.mark.parametrize(
    "row",
    [
        {},
        [],
        {"email": PEOPLE[0].upper()},
        {"hashed_phone_number": "4915112345678"},
        {"maid": None},
        {"external_id": ""},
        {"external_id": 7},
        {"idfa": PEOPLE[0]},
    ],
)
def test_invalid_row_refuses_the_batch_and_changes_nothing(pinterest: Pinterest, sdk: Sdk, row: Any) -> None:
    held = pinterest.add_list("people")
    refused = patch_list(sdk, pinterest, held.id, json={"operation_type": "ADD", "records_v2": [PERSON, row]})
    assert (refused.status_code, refused.json()["code"]) == (400, 1)
    assert pinterest.members(held.id) == set()


# -- look-alikes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def seed(pinterest: Pinterest) -> str:
    """An audience of a hundred people."""
    return pinterest.add_audience("seed", customer_list_id=pinterest.add_list("x", members=PEOPLE[:100]).id).id


def create_look_alike(sdk: Sdk, **rule: Any) -> Any:
    body = pinterestsdk.AdAccountsAudienceCreate(
        **ACCOUNT,
        name="alike",
        audience_type=pinterestsdk.AudienceType.ACTALIKE,
        rule=pinterestsdk.AdAccountsAudienceRule.from_dict(rule),
    )
    return sdk.audiences.audiences_create(**ACCOUNT, ad_accounts_audience_create=body)


@pytest.mark.parametrize("percentage", [1, 10])
def test_look_alike_is_created_from_seed_country_and_percentage(sdk: Sdk, seed: str, percentage: int) -> None:
    made = create_look_alike(sdk, seed_id=[seed], country="US", percentage=percentage)
    read = sdk.get_audience(made.id)
    assert (read.audience_type.value, read.name) == ("ACTALIKE", "alike")
    rule = read.rule.to_dict()
    assert (rule["seed_id"], rule["country"], rule["percentage"]) == ([seed], "US", percentage)
    listed = sdk.audiences.audiences_list(**ACCOUNT).items
    assert [seed, made.id] == [audience.id for audience in listed]
