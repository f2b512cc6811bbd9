"""Consent of a Pinterest user (OAuth authorization code): the address to open, and the code → tokens."""

from __future__ import annotations

import urllib.parse

from td_pinterest_op.errors import AccountError, ExportError, PinterestError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.oauth import SCOPES, Grant, app_credentials, exchanged
from td_pinterest_op.secret import Secret

CONSENT_URL = "https://www.pinterest.com/oauth/"

_INVALID_GRANT = 283
_USED_UP = (
    "the code is used up, too old (it lasts a few minutes) or of another redirect address: run "
    "`td-pinterest authorize` again and approve without a pause"
)
_WRONG_APP = (
    "check client id and client secret: both are on the app's page at https://developers.pinterest.com/apps/, and the "
    "secret changes when somebody resets it there"
)


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
    form = {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": redirect_uri}
    app, purpose = app_credentials(client_id, client_secret), "exchanging the code for a refresh token"
    try:
        grant = exchanged(client, app, form, purpose=purpose, advice={}, repeatable=False)
    except ExportError as error:
        raise _refusal(error) from None
    if grant is None or grant.refresh_token is None:
        raise PinterestError("Pinterest answered the code without a refresh token: run `td-pinterest authorize` again")
    return grant


def _refusal(error: ExportError) -> ExportError:
    if error.status is None or error.status >= 500:
        return error
    advice = _USED_UP if error.code == _INVALID_GRANT or error.status == 400 else _WRONG_APP
    code = "" if error.code is None else f" (code {error.code})"
    return AccountError(f"Pinterest answered {error.status}{code} to exchanging the code for a refresh token: {advice}")
