"""OAuth: the access tokens of a run, exchanged for the refresh token."""

import re
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from td_pinterest_op.errors import AccountError, PinterestError, RequestRefusedError
from td_pinterest_op.pinterest.client import MOST_TOKEN_REFUSALS, AdviceByCode, Client, Request, TokenSource
from td_pinterest_op.pinterest.retry_policy import AUTHORISE_AGAIN_ADVICE
from td_pinterest_op.redaction.secret import LONGEST_SECRET, Secret
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import DAY_SECONDS

# The scopes that an export needs, also in a dry run.
REQUIRED_SCOPES = ("ads:read", "ads:write")

# An access token is renewed this long before it expires, so that no request arrives too late.
_RENEWAL_MARGIN_SECONDS = 600.0
# Pinterest's documented lifetime, for a response that names none.
_ACCESS_TOKEN_DAYS = 30
_LONGEST_LIFETIME = 100 * 365 * DAY_SECONDS
_ADVICE_TO_AUTHORISE = (
    "authorise the app again (scopes ads:read and ads:write) and store the new refresh token. If another export has "
    "just renewed it, running this task again is enough"
)
# Pinterest's code for a wrong client id or client secret.
WRONG_APP_CODE = 2
# The advice about a refused refresh token, by Pinterest's code.
_REFRESH_ADVICE = {
    WRONG_APP_CODE: "The client_id or client_secret is wrong: the owner of the Pinterest app must compare them with "
    "the app's page at https://developers.pinterest.com/apps/",
    283: "The refresh token has expired, was replaced, or the account's password was changed: the owner of the "
    f"Pinterest app must {_ADVICE_TO_AUTHORISE}",
    None: "Pinterest refused the app's credentials or the refresh token: the owner of the Pinterest app must check "
    f"client_id and client_secret, and, if they are right, {_ADVICE_TO_AUTHORISE}",
}


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Tokens that Pinterest issued, and their lifetimes in seconds, None if unknown."""

    access_token: Secret
    refresh_token: Secret | None
    scopes: frozenset[str]  # empty if unknown
    expires_in: float | None  # the access token's
    refresh_expires_in: float | None


def describe_missing_scopes(granted: frozenset[str]) -> str:
    """Return which of REQUIRED_SCOPES are not `granted`, such as "scope ads:write", or "" for none or if unknown."""
    missing = [scope for scope in REQUIRED_SCOPES if granted and scope not in granted]
    return f"scope{'' if len(missing) == 1 else 's'} {' and '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Bearer(AuthBase):
    """Authorises requests with an access token."""

    token: Secret
    expires_at: float  # in seconds of the monotonic clock

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the Authorization header."""
        request.headers["Authorization"] = f"Bearer {self.token.reveal()}"
        return request


@dataclass(eq=False, repr=False, kw_only=True)
class RenewableTokens(TokenSource):
    """Supplies the access tokens of a run, and renews them with a refresh token. May be used from several threads.

    `on_new_refresh_token` is called at once after each renewal, with the new refresh token, or None if Pinterest sent
    none, and the seconds that the refresh token is valid, None if unknown. `read_stored_refresh_token` returns the
    refresh token that is stored now, which another task may have renewed, or None if it cannot be read.
    """

    client: Client
    client_id: Secret
    client_secret: Secret
    refresh_token: Secret
    on_new_refresh_token: Callable[[Secret | None, float | None], None]
    read_stored_refresh_token: Callable[[], Secret | None] = lambda: None
    needs_scopes: bool = False  # whether a token without REQUIRED_SCOPES raises AccountError
    scopes: frozenset[str] = frozenset()
    refresh_expires_in: float | None = None  # in seconds; None if unknown
    _bearer: Bearer | None = None
    # Whether the access token replaces one that Pinterest refused and had never accepted.
    _replaces_unaccepted: bool = False
    _refusals: int = 0  # how often a refresh token was refused
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._fingerprint = self.refresh_token.fingerprint
        self._seen_tokens = {self.refresh_token}

    def get_token(self) -> Bearer:
        """Return the access token for the next request. Raises AccountError if Pinterest issues none."""

        def renew_token() -> Bearer:
            with self._lock:
                bearer = self._find_valid_token()
                if bearer is None:
                    if self._bearer:  # it expires, and was not refused
                        self._replaces_unaccepted = False
                    bearer = self._bearer = self._exchange_refresh_token()
                return bearer

        return self._find_valid_token() or shutdown.run_uninterrupted(renew_token)

    def replace_refused_token(self, token: AuthBase, *, has_worked: bool) -> bool:
        """Give up the access token `token` after a 401, unless another thread already has.

        Returns whether to send the request again: not after two tokens in a row that never worked, since then the token
        is not the cause.
        """
        with self._lock:
            if self._bearer is token:
                if not has_worked and self._replaces_unaccepted:
                    return False
                self._replaces_unaccepted = not has_worked
                self._adopt_new_stored_token()
                self._bearer = None
            return True

    def _find_valid_token(self) -> Bearer | None:
        bearer = self._bearer
        return bearer if bearer and self.client.timing.monotonic() < bearer.expires_at else None

    def _adopt_new_stored_token(self) -> bool:
        """Use the stored refresh token from now on. Returns False if there is none, or this run has had it."""
        stored = self.read_stored_refresh_token()
        if stored is None or stored in self._seen_tokens:
            return False
        self._seen_tokens.add(stored)
        self.refresh_token = stored
        return True

    def _exchange_refresh_token(self) -> Bearer:
        """Return a new access token for the refresh token. Raises AccountError if Pinterest refuses.

        Must be called with the lock held, so that the refresh token is used once, and in `run_uninterrupted`, so that
        no new one is lost.
        """
        while True:
            try:
                grant = self.request_grant(
                    {"grant_type": "refresh_token", "refresh_token": self.refresh_token.reveal()},
                    purpose="exchange the refresh token for an access token",
                    advice=_REFRESH_ADVICE,
                )
                break
            except AccountError as error:
                self._refusals += 1
                if self._refusals >= MOST_TOKEN_REFUSALS or not self._adopt_new_stored_token():
                    error.refused_token = self._fingerprint
                    raise
        issued = None if grant.refresh_token == self.refresh_token else grant.refresh_token
        if issued:
            self.refresh_token = issued
            self._seen_tokens.add(issued)
        self.scopes = grant.scopes
        self.refresh_expires_in = grant.refresh_expires_in
        self.on_new_refresh_token(issued, self.refresh_expires_in)
        if self.needs_scopes and (missing := describe_missing_scopes(grant.scopes)):
            raise AccountError(f"the refresh token lacks the {missing}", advice=AUTHORISE_AGAIN_ADVICE)
        lifetime = grant.expires_in or _ACCESS_TOKEN_DAYS * DAY_SECONDS
        # A token that lasts less than the margin is of use as well.
        return Bearer(
            grant.access_token, self.client.timing.monotonic() + max(lifetime - _RENEWAL_MARGIN_SECONDS, lifetime / 2)
        )

    def request_grant(self, form: Mapping[str, str], *, purpose: str, advice: AdviceByCode) -> Grant:
        """Send a token request with the fields `form`, and return the tokens. `purpose`, `advice`: see `Request`.

        Raises AccountError after a refusal, and PinterestError if there is no access token.
        """
        app = HTTPBasicAuth(self.client_id.reveal(), self.client_secret.reveal())
        Secret(f"{self.client_id.reveal()}:{self.client_secret.reveal()}")  # masked in base64 as well, as a pair
        request = Request(
            method="POST",
            path="/oauth/token",
            purpose=purpose,
            # Asks for a refresh token that can be renewed without end; apps made since 2025-09-25 ignore it.
            body=urllib.parse.urlencode({**form, "continuous_refresh": "true"}).encode(),
            content_type="application/x-www-form-urlencoded",
            repeatable=form["grant_type"] == "refresh_token",  # an authorization code is valid once
            advice=advice,
        )
        try:
            content = self.client.send(request, TokenSource(app)).content
        except RequestRefusedError as error:
            raise error.convert_to(AccountError) from None
        access_token = _parse_token_or_none(content, "access_token")
        if access_token is None:
            raise PinterestError(
                "Pinterest's answer to the token request has no access token", advice="Run this task again"
            )
        return Grant(
            access_token=access_token,
            refresh_token=_parse_token_or_none(content, "refresh_token"),
            scopes=frozenset(str(content.get("scope") or "").replace(",", " ").split()),
            expires_in=_parse_lifetime(content.get("expires_in")),
            refresh_expires_in=_parse_lifetime(content.get("refresh_token_expires_in")),
        )


def _parse_token_or_none(content: Mapping[str, Any], name: str) -> Secret | None:
    token = content.get(name)
    if not isinstance(token, str) or not re.fullmatch(f"[!-~]{{1,{LONGEST_SECRET}}}", token):
        return None
    return Secret(token)


def _parse_lifetime(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and 0 < value <= _LONGEST_LIFETIME else None
