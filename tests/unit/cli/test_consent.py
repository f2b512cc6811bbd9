"""The exchange of a consent's code for tokens."""

import urllib.parse

import pytest

from td_pinterest_op.cli.consent import exchange_code
from td_pinterest_op.errors import AccountError, PinterestError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.oauth import Grant
from td_pinterest_op.redaction.secret import Secret
from tests.unit.scripted import Scene, answer, scene

TOKENS = {"access_token": "s3cr3t-access", "refresh_token": "s3cr3t-refresh"}


def consented(stage: Scene) -> Grant:
    return exchange_code(
        stage.client,
        client_id=Secret("app-1489"),
        client_secret=Secret("s3cr3t-client"),
        code=Secret("s3cr3t-code"),
        redirect_uri="http://localhost:8085/",
    )


def test_a_code_is_exchanged_for_both_tokens_their_scopes_and_their_end() -> None:
    stage = scene(answer(200, TOKENS | {"scope": "ads:read,ads:write", "refresh_token_expires_in": 60}))
    expected = Grant(
        access_token=Secret("s3cr3t-access"),
        refresh_token=Secret("s3cr3t-refresh"),
        scopes=frozenset({"ads:read", "ads:write"}),
        expires_in=None,
        refresh_expires_in=60,
    )
    assert consented(stage) == expected
    form = urllib.parse.parse_qs(stage.script.sent[0].body.decode())
    assert (form["grant_type"], form["code"]) == (["authorization_code"], ["s3cr3t-code"])
    assert (form["redirect_uri"], form["continuous_refresh"]) == (["http://localhost:8085/"], ["true"])


@pytest.mark.parametrize(
    ("left_out", "expected"),
    [
        ("access_token", "has no access token"),
        ("refresh_token", "no refresh token: run `td-pinterest authorize` again"),
    ],
)
def test_response_to_a_code_without_one_of_the_tokens_is_an_error(left_out: str, expected: str) -> None:
    with pytest.raises(PinterestError, match=expected):
        consented(scene(answer(200, {**TOKENS, left_out: None})))


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (
            answer(401, {"code": 283}),
            "401 (code 283) to the request to exchange the code for a refresh token; the code was used before",
        ),
        (answer(401, {"code": 2}), "check client id and client secret"),
        (answer(403, {}), "Or check client id and client secret"),
    ],
)
def test_a_refusal_of_a_code_says_what_to_do_and_it_is_not_sent_again(response: Response, told: str) -> None:
    stage = scene(response)
    with pytest.raises(AccountError) as caught:
        consented(stage)
    assert told in str(caught.value)
    assert len(stage.script.sent) == 1
