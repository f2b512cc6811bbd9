"""What Pinterest shows to a token outside any ad account: the accounts that it reads, and its user."""

from __future__ import annotations

import pytest

from td_pinterest_op.errors import PinterestError
from td_pinterest_op.pinterest.catalog import AdAccount, Catalog
from td_pinterest_op.transport import Failure, Response
from tests.unit.scripted import Keys, Scene, answer, scene


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


def test_an_ad_account_is_read_whatever_pinterest_leaves_out() -> None:
    full = {
        "id": "1",
        "name": "Shop",
        "owner": {"username": "agency", "id": "77"},
        "permissions": ["ANALYST", "AUDIENCE_MANAGER"],
    }
    made, _ = catalog(answer(200, {"items": [full, {"id": 2, "owner": "agency", "permissions": "OWNER"}]}))
    first, other = made.ad_accounts()
    assert first == AdAccount(id="1", name="Shop", owner="agency", roles=("ANALYST", "AUDIENCE_MANAGER"))
    assert other == AdAccount(id="2", name="", owner="", roles=())
    assert (True, None) == (first.may_write, other.may_write)
