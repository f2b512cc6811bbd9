"""The ad accounts and the user of a token."""

import pytest

from td_pinterest_op.cli.ad_accounts import AdAccount, list_ad_accounts, read_username
from td_pinterest_op.errors import PinterestError
from td_pinterest_op.http.transport import Failure, Response
from td_pinterest_op.pinterest.api import Api
from tests.unit.scripted import Keys, answer, scene


def api(response: Response | Failure) -> Api:
    return Api(client=scene(response).client, tokens=Keys(), ad_account_id="1")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(200, {"username": "shop"}), "shop"),
        (answer(200, {"username": None}), None),
        (answer(401, {"code": 3, "message": "missing scope"}), None),
        (answer(403, {"code": 29}), None),
        (answer(404), None),
    ],
)
def test_username_is_none_if_pinterest_does_not_show_it(response: Response, expected: str | None) -> None:
    assert expected == read_username(api(response))


@pytest.mark.parametrize("response", [answer(400, {"code": 1}), answer(500), Failure.TLS])
def test_username_raises_any_other_refusal(response: Response | Failure) -> None:
    with pytest.raises(PinterestError, match="look up the user"):
        read_username(api(response))


def test_an_ad_account_is_read_whatever_pinterest_leaves_out() -> None:
    full = {
        "id": "1",
        "name": "Sh\x1bop",
        "owner": {"username": "agency", "id": "77"},
        "permissions": ["ANALYST", "AUDIENCE_MANAGER"],
    }
    page = {"items": [full, {"id": 2, "owner": "agency", "permissions": "OWNER"}]}
    first, other = list_ad_accounts(api(answer(200, page)))
    assert first == AdAccount(id="1", name="Sh\x1bop", owner="agency", roles=("ANALYST", "AUDIENCE_MANAGER"))
    assert other == AdAccount(id="2", name="", owner="", roles=())
    assert '1 "Sh\\x1bop"' == first.label
    assert (True, None) == (first.may_write, other.may_write)
