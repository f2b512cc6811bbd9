"""Consent of a Pinterest user (OAuth authorization code): the address to open, and the code → tokens."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

from td_pinterest_op.errors import AccountError, ExportError, PinterestError
from td_pinterest_op.json_body import json_object
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.oauth import AppCredentials, seconds_of, token_in, token_request
from td_pinterest_op.secret import Secret

CONSENT_URL = "https://www.pinterest.com/oauth/"
SCOPES = ("ads:read", "ads:write")

_INVALID_GRANT = 283
_USED_UP = (
    "the code is used up, too old (it lasts a few minutes) or of another redirect address: run "
    "`td-pinterest authorize` again and approve without a pause"
)
_WRONG_APP = (
    "check client id and client secret: both are on the app's page at https://developers.pinterest.com/apps/, and the "
    "secret changes when somebody resets it there"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a user has granted. `expires_in`: seconds that the refresh token lasts, None if Pinterest does not say."""

    access_token: Secret
    refresh_token: Secret
    scopes: frozenset[str]
    expires_in: float | None

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """The scopes that an export needs and that were not granted; none if Pinterest does not name any."""
        return tuple(scope for scope in SCOPES if self.scopes and scope not in self.scopes)


def consent_address(*, page: str, client_id: str, redirect_uri: str, state: str) -> str:
    """The address at which a user approves the app. Scopes are separated by commas here, by spaces in the answer."""
    query = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": ",".join(SCOPES),
        "state": state,
    }
    return f"{page}?{urllib.parse.urlencode(query)}"


def exchange(client: Client, *, client_id: Secret, client_secret: Secret, code: Secret, redirect_uri: str) -> Grant:
    """The tokens for a code, which can be exchanged once. Raises AccountError when Pinterest refuses it."""
    form = {
        "grant_type": "authorization_code",
        "code": code.reveal(),
        "redirect_uri": redirect_uri,
        "continuous_refresh": "true",
    }
    request = token_request(form, purpose="exchanging the code for a refresh token", advice=None, repeatable=False)
    try:
        content = json_object(client.send(request, AppCredentials(client_id, client_secret)).response.body)
    except ExportError as error:
        raise _refusal(error) from None
    access, refresh = token_in(content, "access_token"), token_in(content, "refresh_token")
    if access is None or refresh is None:
        raise PinterestError("Pinterest answered the code without a refresh token: run `td-pinterest authorize` again")
    return Grant(
        access_token=access,
        refresh_token=refresh,
        scopes=frozenset(str(content.get("scope") or "").replace(",", " ").split()),
        expires_in=seconds_of(content.get("refresh_token_expires_in")),
    )


def _refusal(error: ExportError) -> ExportError:
    if error.status is None or error.status >= 500:
        return error
    advice = _USED_UP if error.code == _INVALID_GRANT or error.status == 400 else _WRONG_APP
    code = "" if error.code is None else f" (code {error.code})"
    return AccountError(f"Pinterest answered {error.status}{code} to exchanging the code for a refresh token: {advice}")
