"""The ad accounts of a token."""

from td_pinterest_op.cli.ad_accounts import AdAccount, list_ad_accounts
from td_pinterest_op.pinterest.api import Api
from tests.unit.scripted import Keys, answer, scene


def test_an_ad_account_is_read_whatever_pinterest_leaves_out() -> None:
    full = {
        "id": "1",
        "name": "Sh\x1bop",
        "owner": {"username": "agency", "id": "77"},
        "permissions": ["ANALYST", "AUDIENCE_MANAGER"],
    }
    page = {"items": [full, {"id": 2, "owner": "agency", "permissions": "OWNER"}]}
    api = Api(client=scene(answer(200, page)).client, tokens=Keys(), ad_account_id="1")
    first, other = list_ad_accounts(api)
    assert first == AdAccount(id="1", name="Sh\x1bop", owner="agency", roles=("ANALYST", "AUDIENCE_MANAGER"))
    assert other == AdAccount(id="2", name="", owner="", roles=())
    assert first.label == '1 "Sh\\x1bop"'
    assert (first.may_write, other.may_write) == (True, None)
