"""OAuth of Pinterest's emulator: the consent, the exchange of its code, and what its tokens may then read and write."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.clock import FakeTime
from tests.contract.sdk import Sdk, error_code, pinterestsdk, refresh_access_token
from tests.emulators.pinterest import CLIENT_ID, USER, Pinterest, User, serve_pinterest

REDIRECT = "http://localhost:8085/"
ASKED = {
    "client_id": CLIENT_ID,
    "redirect_uri": REDIRECT,
    "response_type": "code",
    "scope": "ads:read,ads:write",
    "state": "a b&c",
}


@pytest.fixture
def pinterest(fake_time: FakeTime) -> Pinterest:
    return Pinterest(clock=fake_time.now, monotonic=fake_time.now)


@pytest.fixture
def sdk(pinterest: Pinterest) -> Iterator[Sdk]:
    with serve_pinterest(state=pinterest) as (_, endpoint):
        yield Sdk(endpoint, None)


def submit_decision(
    sdk: Sdk, decision: str, *, user: User = USER, asked: Mapping[str, str] | None = None
) -> requests.Response:
    form = ASKED | dict(asked or {}) | {"decision": decision, "user_id": user.id}
    url = sdk.endpoint.removesuffix("/v5") + "/oauth/"
    return requests.post(url, data=form, timeout=10, allow_redirects=False)


def redirect_parameters(response: requests.Response) -> dict[str, str]:
    """Return the parameters of the redirect."""
    assert response.headers["Location"].startswith(REDIRECT + "?")
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}


def obtain_code(sdk: Sdk, *, user: User = USER, scope: str = ASKED["scope"]) -> str:
    return redirect_parameters(submit_decision(sdk, "approve", user=user, asked={"scope": scope}))["code"]


def exchange_code(sdk: Sdk, code: str, redirect_uri: str = REDIRECT) -> Any:
    return sdk.oauth.oauth_token(
        grant_type=pinterestsdk.TokenGrantType.AUTHORIZATION_CODE,
        code=code,
        redirect_uri=redirect_uri,
        continuous_refresh="true",
    )


# -- the page -------------------------------------------------------------------------------------------------------


# -- the exchange ---------------------------------------------------------------------------------------------------


def test_code_is_exchanged_for_both_tokens_with_expiry_and_scopes(
    pinterest: Pinterest, sdk: Sdk, fake_time: FakeTime
) -> None:
    token = exchange_code(sdk, obtain_code(sdk))
    assert (token.token_type, token.expires_in, token.refresh_token_expires_in) == ("bearer", 30 * 86400, 60 * 86400)
    assert (token.scope, token.response_type) == ("ads:read ads:write", "authorization_code")
    assert token.refresh_token_expires_at == int(fake_time.now()) + 60 * 86400
    assert token.refresh_token in pinterest.tokens.refresh_tokens()
    assert refresh_access_token(sdk, token.refresh_token).scope == "ads:read ads:write"


def test_code_is_valid_once_for_ten_minutes_and_its_redirect(sdk: Sdk, fake_time: FakeTime) -> None:
    code = obtain_code(sdk)
    exchange_code(sdk, code)
    late = obtain_code(sdk)
    fake_time.sleep(600)
    elsewhere = (obtain_code(sdk), "http://localhost:8085")
    for wrong, redirect_uri in ((code, REDIRECT), (late, REDIRECT), elsewhere, ("x", "y")):
        with pytest.raises(pinterestsdk.exceptions.UnauthorizedException) as caught:
            exchange_code(sdk, wrong, redirect_uri)
        assert error_code(caught.value) == 283
