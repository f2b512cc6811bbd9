"""The consent of a user to the app: its page, and the exchange of its code for tokens."""

import urllib.parse
from collections.abc import Mapping

from td_pinterest_op.errors import PinterestError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.oauth import SCOPES, WRONG_APP_CODE, Grant, request_grant
from td_pinterest_op.redaction.secret import Secret

_PAGE = "https://www.pinterest.com/oauth/"
_CODE_USED_UP = (
    "the code was used before, is too old (it lasts a few minutes) or belongs to another redirect address: run "
    "`td-pinterest authorize` again and approve within a few minutes"
)
_WRONG_APP = (
    "check client id and client secret: both are on the app's page at https://developers.pinterest.com/apps/, and the "
    "secret changes when somebody resets it there"
)
# The advice about a refused consent code, by Pinterest's error code.
_CODE_ADVICE = {WRONG_APP_CODE: _WRONG_APP, 283: _CODE_USED_UP, None: f"{_CODE_USED_UP}. Or {_WRONG_APP}"}


def build_consent_url(environ: Mapping[str, str], *, client_id: Secret, redirect_uri: str, state: str) -> str:
    """Return the URL at which a user approves the app."""
    query = {
        "client_id": client_id.reveal(),
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": ",".join(SCOPES),  # by commas here, by spaces in the response
        "state": state,
    }
    return f"{environ.get('PINTEREST_OAUTH_URL') or _PAGE}?{urllib.parse.urlencode(query)}"


def exchange_code(
    client: Client, *, client_id: Secret, client_secret: Secret, code: Secret, redirect_uri: str
) -> Grant:
    """Return the tokens for an authorization code, which is valid once. Raises AccountError if Pinterest refuses it."""
    grant = request_grant(
        client,
        {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": redirect_uri},
        client_id=client_id,
        client_secret=client_secret,
        purpose="exchange the code for a refresh token",
        advice=_CODE_ADVICE,
    )
    if grant.refresh_token is None:
        raise PinterestError(
            "Pinterest's answer to the authorization code has no refresh token: run `td-pinterest authorize` again"
        )
    return grant
