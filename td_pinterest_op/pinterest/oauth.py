"""OAuth: access tokens by the refresh token, and the refresh token by a user's consent (authorization code)."""

import logging
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from td_pinterest_op.errors import AccountError, PinterestError, RequestRefusedError
from td_pinterest_op.http.retry import DAY
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import MOST_REFUSALS, Client, Request, TokenSource
from td_pinterest_op.pinterest.policy import AUTHORISE_AGAIN
from td_pinterest_op.redaction.secret import LONGEST_SECRET, Secret
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing

log = logging.getLogger(__name__)

# What an export needs of a token, also in a dry run.
SCOPES = ("ads:read", "ads:write")

# An access token of 30 days is renewed this many seconds before it expires, so that no request arrives too late.
_MARGIN = 600.0
# Pinterest's figures, for a response without them.
_ACCESS_DAYS, _REFRESH_DAYS = 30, 60
_LONGEST = 100 * 365 * DAY
_AUTHORISE = (
    "authorise the app again (scopes ads:read and ads:write) and store the new refresh token. If another export has "
    "just renewed it, running this task again is enough"
)
CONSENT_URL = "https://www.pinterest.com/oauth/"
_CODE_USED_UP = (
    "the code was used before, is too old (it lasts a few minutes) or belongs to another redirect address: run "
    "`td-pinterest authorize` again and approve within a few minutes"
)
_WRONG_APP = (
    "check client id and client secret: both are on the app's page at https://developers.pinterest.com/apps/, and the "
    "secret changes when somebody resets it there"
)
# Pinterest's code for a client id or a client secret that is wrong.
WRONG_APP_CODE = 2
# The advice about a refused consent code, by Pinterest's error code.
_CODE_ADVICE = {WRONG_APP_CODE: _WRONG_APP, 283: _CODE_USED_UP, None: f"{_CODE_USED_UP}. Or {_WRONG_APP}"}
# The advice about a refused refresh token, by Pinterest's error code.
_REFRESH_ADVICE = {
    WRONG_APP_CODE: "client_id or client_secret is wrong: the owner of the Pinterest app must compare them with the "
    "app's page at https://developers.pinterest.com/apps/",
    283: "the refresh token has expired, was replaced, or the account's password was changed: the owner of the "
    f"Pinterest app must {_AUTHORISE}",
    None: "it refused the app's credentials or the refresh token: the owner of the Pinterest app must check client_id "
    f"and client_secret, and, if they are right, {_AUTHORISE}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The tokens that Pinterest issued. Lifetimes are in seconds, None (and `scopes` empty) if it names none."""

    access_token: Secret
    refresh_token: Secret | None
    scopes: frozenset[str]
    expires_in: float | None
    refresh_expires_in: float | None

    @classmethod
    def parse(cls, response: Response) -> "Grant | None":
        """Return the tokens in a response, None without an access token."""
        content = response.content
        access_token = _read_token(content, "access_token")
        if access_token is None:
            return None
        return cls(
            access_token=access_token,
            refresh_token=_read_token(content, "refresh_token"),
            scopes=frozenset(str(content.get("scope") or "").replace(",", " ").split()),
            expires_in=_read_lifetime(content.get("expires_in")),
            refresh_expires_in=_read_lifetime(content.get("refresh_token_expires_in")),
        )


def find_missing_scopes(granted: frozenset[str], needed: Iterable[str] = SCOPES) -> list[str]:
    """Return the needed scopes that were not granted; none if Pinterest does not name the granted ones."""
    return [scope for scope in needed if granted and scope not in granted]


class Bearer(AuthBase):
    """Authorises requests with an access token."""

    def __init__(self, token: Secret, *, expires_at: float) -> None:
        self._token, self.expires_at = token, expires_at

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the Authorization header."""
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request


class Tokens(TokenSource):
    """Provides the access token for every request except the token request. May be used from several threads.

    `on_new_refresh_token(token, seconds)` is called at once for each new refresh token; with None when Pinterest sent
    no new one. `seconds`: how long the token to use next is valid, None if unknown. `read_stored_token()` returns the
    token that is stored now, None if unknown: another task may have renewed it. `scopes`: those that the run needs.
    """

    def __init__(
        self,
        *,
        client: Client,
        client_id: Secret,
        client_secret: Secret,
        refresh_token: Secret,
        on_new_refresh_token: Callable[[Secret | None, float | None], None],
        timing: Timing,
        read_stored_token: Callable[[], Secret | None] = lambda: None,
        scopes: Sequence[str] = (),
    ) -> None:
        self._client, self._on_new_refresh_token, self._clock = client, on_new_refresh_token, timing.monotonic
        self._read_stored_token, self._needed_scopes = read_stored_token, scopes
        self._app = _encode_app_credentials(client_id, client_secret)
        # The one to use next, and all that this run has had.
        self.refresh_token, self._seen_tokens = refresh_token, {refresh_token}
        self._fingerprint = refresh_token.fingerprint
        # Of the last response: the scopes, and for how many seconds the refresh token lasts; None if unknown.
        self.scopes: frozenset[str] = frozenset()
        self.refresh_expires_in: float | None = None
        self._bearer: Bearer | None = None
        # Whether the current token was ever accepted, and whether it already replaces one that never was.
        self._is_proved = self._replaces_unproved = False
        # How often Pinterest refused any refresh token.
        self._refusals = 0
        self._lock = threading.Lock()

    def token(self) -> Bearer:
        """Return the access token to use now. Raises AccountError if Pinterest issues none."""
        with self._lock:
            bearer = self._bearer
            return self._renew_access_token() if bearer is None or self._clock() >= bearer.expires_at else bearer

    def mark_accepted(self, used: AuthBase) -> None:
        """Remember that Pinterest accepted a token."""
        with self._lock:
            if self._bearer is used:
                self._is_proved, self._replaces_unproved = True, False

    def refresh(self, used: AuthBase) -> bool:
        """Replace an access token that Pinterest refused; return whether there is another one to try.

        The refusal of an earlier token is no evidence about the current one. The current one is renewed if it was ever
        accepted. One that never was is renewed once: if the next one is refused as well, the token is not the cause.
        """
        with self._lock:
            if self._bearer is not used:
                return True
            if not self._is_proved and self._replaces_unproved:
                return False
            self._replaces_unproved = not self._is_proved
            self._adopt_stored_token()
            self._renew_access_token()
            return True

    def _renew_access_token(self) -> Bearer:
        """Return a new access token. A signal does not interrupt the request for it."""
        self._bearer = shutdown.run_shielded(self._exchange_refresh_token)
        self._is_proved = False
        return self._bearer

    def _adopt_stored_token(self) -> bool:
        """Use the stored refresh token if this run has not used it yet; return whether it does."""
        stored = self._read_stored_token()
        if stored is None or stored in self._seen_tokens:
            return False
        self._seen_tokens.add(stored)
        self.refresh_token = stored
        return True

    def _exchange_refresh_token(self) -> Bearer:
        """Return a new access token for the refresh token. Raises AccountError if Pinterest refuses it."""
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token.reveal()}
        purpose = "exchange the refresh token for an access token"
        try:
            grant = _request_grant(self._client, self._app, form, purpose=purpose, advice=_REFRESH_ADVICE)
        except AccountError as error:
            self._refusals += 1
            if self._refusals < MOST_REFUSALS and self._adopt_stored_token():
                return self._exchange_refresh_token()
            error.refused_token = self._fingerprint
            raise
        if grant is None:
            raise PinterestError("Pinterest's answer to the token request has no access token: run this task again")
        return self._accept_grant(grant)

    def _accept_grant(self, grant: Grant) -> Bearer:
        """Store the refresh token, if it is new; return the access token. Raises AccountError for a missing scope."""
        issued = None if grant.refresh_token == self.refresh_token else grant.refresh_token
        if issued:
            self.refresh_token = issued
            self._seen_tokens.add(issued)
        self.scopes = grant.scopes
        self.refresh_expires_in = grant.refresh_expires_in or (_REFRESH_DAYS * DAY if issued else None)
        with shutdown.protect_saving():
            self._on_new_refresh_token(issued, self.refresh_expires_in)
        if missing := find_missing_scopes(grant.scopes, self._needed_scopes):
            raise AccountError(f"the refresh token lacks the scope {' and '.join(missing)}: {AUTHORISE_AGAIN}")
        lifetime = grant.expires_in or _ACCESS_DAYS * DAY
        # At least a little use before it is renewed, however short it lasts.
        return Bearer(grant.access_token, expires_at=self._clock() + max(lifetime - _MARGIN, lifetime / 2))


def build_consent_url(*, page: str, client_id: str, redirect_uri: str, state: str) -> str:
    """Return the URL at which a user approves the app."""
    query = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": ",".join(SCOPES),  # by commas here, by spaces in the response
        "state": state,
    }
    return f"{page}?{urllib.parse.urlencode(query)}"


def exchange_code(
    client: Client, *, client_id: Secret, client_secret: Secret, code: Secret, redirect_uri: str
) -> Grant:
    """Exchange the code of a consent, which is valid once, for tokens. Raises AccountError if it is refused."""
    form = {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": redirect_uri}
    app, purpose = _encode_app_credentials(client_id, client_secret), "exchange the code for a refresh token"
    grant = _request_grant(client, app, form, purpose=purpose, advice=_CODE_ADVICE, repeatable=False)
    if grant is None or grant.refresh_token is None:
        raise PinterestError(
            "Pinterest's answer to the authorization code has no refresh token: run `td-pinterest authorize` again"
        )
    return grant


def _request_grant(
    client: Client,
    app: TokenSource,
    form: Mapping[str, str],
    *,
    purpose: str,
    advice: Mapping[int | None, str],
    repeatable: bool = True,
) -> Grant | None:
    """Post a form to the token endpoint. Return the issued tokens, None without any. Raises AccountError."""
    # The request for a refresh token that can be renewed without end; apps made since 2025-09-25 ignore it.
    form = {**form, "continuous_refresh": "true"}
    request = Request(
        method="POST",
        path="/oauth/token",
        purpose=purpose,
        body=urllib.parse.urlencode(form).encode(),
        content_type="application/x-www-form-urlencoded",
        repeatable=repeatable,
        advice=advice,
    )
    try:
        return Grant.parse(client.send(request, app))
    except (AccountError, RequestRefusedError) as error:
        raise AccountError(str(error), status=error.status, code=error.code) from None


def _encode_app_credentials(client_id: Secret, client_secret: Secret) -> TokenSource:
    """Return the app's id and secret as the credentials of a token request."""
    # Masked in base64 as well, as a pair.
    Secret(f"{client_id.reveal()}:{client_secret.reveal()}")
    return TokenSource(HTTPBasicAuth(client_id.reveal(), client_secret.reveal()))


def _read_token(content: Mapping[str, Any], name: str) -> Secret | None:
    """Return the token of this name in a response's content, None without a valid one."""
    token = content.get(name)
    return Secret(token) if isinstance(token, str) and 0 < len(token) <= LONGEST_SECRET else None


def _read_lifetime(value: object) -> float | None:
    """Return a lifetime in seconds; None if it is not a number, or longer than a date can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value <= _LONGEST else None
