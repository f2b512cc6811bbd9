"""The receipt of an erasure."""

from __future__ import annotations

from typing import Any

import pytest

from td_pinterest_op.audiences.erasure import Receipt, Target, plan_text
from td_pinterest_op.errors import PinterestError
from td_pinterest_op.pinterest.content import CustomerList

OF_ACCOUNT = Target(ad_account_id="2", customer_list=None, reason="the token may not")


def target(list_id: str, **result: Any) -> Target:
    behind = CustomerList(id=list_id, name=f"List {list_id}", uploaded=5)
    return Target(ad_account_id="1", customer_list=behind, **result)


def receipt(*results: Target) -> Receipt:
    return Receipt(targets=[*results, OF_ACCOUNT], records=3, dry_run=False)


DONE = target("7", records=3, request_ids=("a", "b"))
FAILED = target("8", records=1, request_ids=("c",), reason="no answer")


def test_it_tells_what_each_list_took_and_what_failed() -> None:
    written = receipt(DONE, FAILED)
    assert {
        "lists": 2,
        "summary": "The removal of 3 records was asked of 1 of 2 customer lists; "
        "the lists of 1 ad account cannot be read.",
    }.items() <= written.to_json().items()
    assert [["7"], ["8", None]] == [
        [row["customer_list_id"] for row in written.to_json()[rows]] for rows in ("receipt", "failed")
    ]
    failed = (
        '^2 of 3 lists may still .*: customer list 8 "List 8" of ad account 1: no answer; the lists of ad account 2: .*'
    )
    with pytest.raises(PinterestError, match=failed + r"\. The other 1 are done\. Run this task again"):
        written.raise_for_failed()


def test_the_plan_counts_full_and_partial_requests_of_every_list_that_can_be_read() -> None:
    expected = "plan: remove 25 records from each of 2 customer lists in 2 ad accounts, 6 requests, "
    said = plan_text([target("7"), target("8"), OF_ACCOUNT], records=25, batch_size=10, requests_per_minute=4)
    assert f"{expected}at most 4 a minute: about 2 min" == said
