"""A consent's code → tokens, and what is said when there are none."""

from __future__ import annotations

import urllib.parse

import pytest

from td_pinterest_op.errors import AccountError, PinterestError, UnavailableError
from td_pinterest_op.pinterest.consent import exchange
from td_pinterest_op.pinterest.oauth import Grant
from td_pinterest_op.secret import Secret
from td_pinterest_op.transport import Failure, Response
from tests.unit.scripted import Scene, answer, scene

TOKENS = {"access_token": "s3cr3t-access", "refresh_token": "s3cr3t-refresh"}


def exchanged(stage: Scene) -> Grant:
    return exchange(
        stage.client,
        client_id=Secret("app-1489"),
        client_secret=Secret("s3cr3t-client"),
        code=Secret("s3cr3t-code"),
        redirect_uri="http://localhost:8085/",
    )


def test_a_code_is_exchanged_for_both_tokens_their_scopes_and_their_end() -> None:
    stage = scene(answer(200, TOKENS | {"scope": "ads:read,user_accounts:read", "refresh_token_expires_in": 60}))
    grant = exchanged(stage)
    assert (
        Grant(
            access_token=Secret("s3cr3t-access"),
            refresh_token=Secret("s3cr3t-refresh"),
            scopes=frozenset({"ads:read", "user_accounts:read"}),
            expires_in=None,
            refresh_expires_in=60,
        )
        == grant
    )
    (sent,) = stage.script.sent
    assert {
        "grant_type": ["authorization_code"],
        "code": ["s3cr3t-code"],
        "redirect_uri": ["http://localhost:8085/"],
        "continuous_refresh": ["true"],
    } == urllib.parse.parse_qs(sent.body.decode())


@pytest.mark.parametrize("left_out", ["access_token", "refresh_token"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_an_answer_without_one_of_the_tokens_is_an_error(left_out: str, value: object) -> None:
    with pytest.raises(PinterestError, match=r"without a refresh token: run `td-pinterest authorize` again"):
        exchanged(scene(answer(200, {**TOKENS, left_out: value})))


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (answer(400, {"code": 1}), "Pinterest answered 400 (code 1) to exchanging the code"),
        (answer(401, {"code": 283}), "the code is used up, too old"),
        (answer(401, {"code": 2}), "check client id and client secret"),
        (answer(403, {}), "Pinterest answered 403 to exchanging the code"),
    ],
)
def test_a_refusal_says_what_to_do_and_the_code_is_not_sent_again(response: Response, told: str) -> None:
    stage = scene(response)
    with pytest.raises(AccountError) as caught:
        exchanged(stage)
    assert told in str(caught.value)
    assert 1 == len(stage.script.sent)


@pytest.mark.parametrize("failure", [answer(503), Failure.NOT_CONNECTED])
def test_a_pinterest_that_is_down_is_not_the_fault_of_code_or_app(failure: Response | Failure) -> None:
    with pytest.raises(UnavailableError) as caught:
        exchanged(scene(failure))
    for advice in ("the code is used up", "client secret"):
        assert advice not in str(caught.value)
