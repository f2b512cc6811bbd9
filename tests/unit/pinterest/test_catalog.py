"""What Pinterest shows to people who look around: pages, single things, the user of a token."""

from __future__ import annotations

import pytest

from td_pinterest_op.errors import AccountError, ExportError, PinterestError
from td_pinterest_op.pinterest.catalog import AdAccount, Catalog
from td_pinterest_op.pinterest.policy import Failure
from td_pinterest_op.pinterest.transport import Response
from tests.unit.scripted import Keys, Scene, answer, scene

ACCOUNT = "549755885175"


def catalog(*answers: Response | Failure) -> tuple[Catalog, Scene]:
    stage = scene(*answers)
    return Catalog(client=stage.client, tokens=Keys()), stage


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(200, {"username": "shop"}), "shop"),
        (answer(200, {"username": None}), None),
        (answer(200, {}), None),
        (answer(401, {"code": 3, "message": "missing scope"}), None),
        (answer(403, {"code": 29}), None),
        (answer(404), None),
    ],
)
def test_the_user_of_a_token_is_known_to_whom_pinterest_shows_it(response: Response, expected: str | None) -> None:
    made, _ = catalog(response)
    assert expected == made.username()


@pytest.mark.parametrize("response", [answer(400, {"code": 1}), answer(500), Failure.TLS])
def test_any_other_refusal_to_name_the_user_is_an_error(response: Response | Failure) -> None:
    made, _ = catalog(response)
    with pytest.raises(PinterestError, match="looking up the user"):
        made.username()


def test_what_is_not_there_is_none_and_what_may_not_be_seen_is_an_error() -> None:
    missing, _ = catalog(answer(404, {"code": 4}))
    assert None is missing.audience(ACCOUNT, "7")
    assert None is missing.customer_list(ACCOUNT, "8")
    closed, _ = catalog(answer(403, {"code": 29}))
    with pytest.raises(AccountError, match="looking up audience 7"):
        closed.audience(ACCOUNT, "7")
    with pytest.raises(AccountError, match="looking up customer list 8"):
        closed.customer_list(ACCOUNT, "8")


def test_a_listing_goes_on_by_its_bookmarks_and_leaves_out_what_has_no_id() -> None:
    made, stage = catalog(
        answer(200, {"items": [{"id": "1"}, {"name": "nameless"}, "x"], "bookmark": "b2"}),
        answer(200, {"items": [{"id": "2"}], "bookmark": None}),
    )
    assert [{"id": "1"}, {"id": "2"}] == list(made.customer_lists(ACCOUNT))
    assert ["bookmark=b2" in call.url for call in stage.script.sent] == [False, True]


@pytest.mark.parametrize(
    "pages",
    [
        [answer(200, {"items": {"id": "1"}})],
        [answer(200, {})],
        [answer(200, {"items": [{"id": "1"}], "bookmark": "again"})],
    ],
    ids=["no list", "no items", "the same bookmark for ever"],
)
def test_what_is_no_page_or_comes_in_a_circle_is_an_error(pages: list[Response]) -> None:
    made, stage = catalog(*pages)
    with pytest.raises(ExportError, match="to listing audiences, but the answer "):
        list(made.audiences(ACCOUNT))
    assert len(stage.script.sent) <= 2


def test_an_ad_account_is_read_whatever_pinterest_leaves_out() -> None:
    full = {
        "id": "1",
        "name": "Shop",
        "owner": {"username": "agency", "id": "77"},
        "permissions": ["ANALYST", "AUDIENCE_MANAGER"],
    }
    made, _ = catalog(answer(200, {"items": [full, {"id": 2, "owner": "agency", "permissions": "OWNER"}]}))
    first, other = made.ad_accounts()
    assert first == AdAccount(id="1", name="Shop", owner="agency", owner_id="77", roles=("ANALYST", "AUDIENCE_MANAGER"))
    assert other == AdAccount(id="2", name="", owner="", owner_id="", roles=())
    assert (True, None) == (first.may_write, other.may_write)
