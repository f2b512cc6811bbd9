"""Which audiences an action may work on."""

from __future__ import annotations

import types
from typing import Any, cast

import pytest

from td_pinterest_op.audiences.audiences import Audiences
from td_pinterest_op.audiences.customer_lists import CustomerLists
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.content import Audience

SHOPPERS: dict[str, Any] = {
    "id": "12",
    "name": "Shoppers",
    "audience_type": "CUSTOMER_LIST",
    "ad_account_id": "1",
    "customer_list_id": "7",
    "status": "READY",
}
REMOVED, LOOKALIKE, SHARED = {"status": "REMOVED"}, {"audience_type": "ACTALIKE"}, {"ad_account_id": "2"}


def audiences(changes: dict[str, Any] | None) -> Audiences:
    """An ad account with customer list 7 and the audience, changed so; None: without it."""
    audience = None if changes is None else Audience(**SHOPPERS | changes)
    api = types.SimpleNamespace(ad_account_id="1", audience=lambda _: audience)
    lists = types.SimpleNamespace(find={"7": "the list"}.get)
    return Audiences(api=cast(Api, api), lists=cast(CustomerLists, lists))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"ad_account_id": None}, None),
        (None, "there is no audience 12 in ad account 1: check both ids"),
        (REMOVED, 'audience 12 "Shoppers" was removed: create a new one'),
        (LOOKALIKE, "is of type ACTALIKE: only CUSTOMER_LIST audiences hold records"),
        (SHARED, "belongs to ad account 2, not to 1"),
        ({"customer_list_id": None}, "has no customer list behind it"),
        ({"customer_list_id": "8"}, "has no customer list behind it"),
    ],
)
def test_an_audience_that_takes_records_is_there_ours_and_on_a_list(changes: Any, why: str | None) -> None:
    if why is None:
        assert Audience(**SHOPPERS | changes) == audiences(changes).usable("12")
        return
    with pytest.raises(AudienceError) as caught:
        audiences(changes).usable("12")
    assert why in str(caught.value)


@pytest.mark.parametrize("changes", [{}, REMOVED, REMOVED | LOOKALIKE, {"customer_list_id": None}])
def test_an_audience_may_be_removed_whatever_is_behind_it_and_twice(changes: dict[str, Any]) -> None:
    assert Audience(**SHOPPERS | changes) == audiences(changes).removable("12")
    assert audiences(None).removable("12") is None


@pytest.mark.parametrize("changes", [LOOKALIKE, SHARED])
def test_an_audience_of_another_kind_or_account_is_not_removed(changes: dict[str, Any]) -> None:
    with pytest.raises(AudienceError):
        audiences(changes).removable("12")
