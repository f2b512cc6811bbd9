"""OAuth: codes of consent, refresh tokens, and the access tokens that were issued for them."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.emulators.pinterest.accounts import USER, User
from tests.emulators.pinterest.refusals import invalid_grant, missing_scope, unauthenticated
from tests.emulators.pinterest.switches import Switches

# In every secret of the emulator, so that a guard can recognise any of them in any text.
MARKER = "s3cr3t"
CLIENT_ID = "1503921"
CLIENT_SECRET = f"app-{MARKER}-0d5f1c6be2a94"
REFRESH_TOKEN = f"pinr.{MARKER}-first-4be1f20c7d"

DAY = 86400
ACCESS_TOKEN_DAYS = 30
REFRESH_TOKEN_DAYS = 60
CODE_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class _Grant:
    """An access token, a refresh token, or the code of an approval, with its redirect.

    `scopes` of a refresh token are None for those of the switch `scope` at the time of each refresh.
    """

    user: User
    scopes: frozenset[str] | None = None
    redirect_uri: str = ""
    expires_at: float


class Tokens:
    """Every method may be called from any thread. `clock` gives seconds since 1970."""

    def __init__(self, *, switches: Switches, clock: Callable[[], float]) -> None:
        self._switches = switches
        self._clock = clock
        self._lock = threading.Lock()
        self._refresh: dict[str, _Grant] = {}
        self._access: dict[str, _Grant] = {}
        self._codes: dict[str, _Grant] = {}
        # Every scope that a user ever approved, by the user's id.
        self._approved: dict[str, frozenset[str]] = {}
        self.refreshes = 0
        self.set_refresh_token(REFRESH_TOKEN)

    # -- what the API does --------------------------------------------------------------------------------------

    def consent(self, user: User, *, scopes: frozenset[str], redirect_uri: str) -> str:
        """Record what `user` approved; returns the code that is exchanged for the tokens."""
        with self._lock:
            self._approved[user.id] = self._approved.get(user.id, frozenset()) | scopes
            code = f"{MARKER}-code-{secrets.token_hex(16)}"
            expires_at = self._clock() + CODE_SECONDS
            self._codes[code] = _Grant(user=user, redirect_uri=redirect_uri, expires_at=expires_at)
            return code

    def exchange(self, code: str, *, redirect_uri: str) -> dict[str, Any]:
        """Return the answer to the exchange of a code, which is valid once.

        Raises the refusal of a code that is unknown, used, expired, or was given for another redirect.
        """
        with self._lock:
            now = self._clock()
            approval = self._codes.pop(code, None)
            if approval is None or approval.expires_at <= now or approval.redirect_uri != redirect_uri:
                raise invalid_grant()
            granted = _Grant(
                user=approval.user, scopes=self._approved[approval.user.id], expires_at=now + REFRESH_TOKEN_DAYS * DAY
            )
            token = self._issue_refresh(granted)
            answer = {"response_type": "authorization_code"} | self._access_answer(granted, now)
            return answer | {"refresh_token": token} | self._expiry(token, now)

    def refresh(self, refresh_token: str) -> dict[str, Any]:
        """Return the answer to a refresh. Raises the refusal for a token that is unknown, rotated away or expired."""
        with self._lock:
            now = self._clock()
            stored = self._refresh.get(refresh_token)
            if stored is None or stored.expires_at <= now:
                raise invalid_grant()
            self.refreshes += 1
            if self._switches.refresh_ends_access_tokens:
                self._access.clear()
            answer = {"response_type": "refresh_token"} | self._access_answer(stored, now)
            current = self._renew(refresh_token, stored, now)
            if current != refresh_token:
                answer["refresh_token"] = current
            return answer | (self._expiry(current, now) if self._switches.token_expiry_fields else {})

    def _access_answer(self, stored: _Grant, now: float) -> dict[str, Any]:
        scopes = self._scopes(stored.scopes)
        return {
            "token_type": "bearer",
            "access_token": self._issue(stored.user, scopes, now),
            "expires_in": ACCESS_TOKEN_DAYS * DAY,
            "scope": " ".join(sorted(scopes)),
        }

    def _scopes(self, approved: frozenset[str] | None) -> frozenset[str]:
        return frozenset(self._switches.scope.split()) if approved is None else approved

    def _issue(self, user: User, scopes: frozenset[str], now: float) -> str:
        token = f"pina.{MARKER}-{secrets.token_hex(16)}"
        self._access[token] = _Grant(user=user, scopes=scopes, expires_at=now + ACCESS_TOKEN_DAYS * DAY)
        return token

    def _issue_refresh(self, granted: _Grant) -> str:
        token = f"pinr.{MARKER}-{secrets.token_hex(16)}"
        self._refresh[token] = granted
        return token

    def _renew(self, used: str, stored: _Grant, now: float) -> str:
        if not (self._switches.rotate_refresh_tokens or self._switches.renew_refresh_tokens):
            return used
        if self._switches.rotate_refresh_tokens:
            del self._refresh[used]
        return self._issue_refresh(
            _Grant(user=stored.user, scopes=stored.scopes, expires_at=now + REFRESH_TOKEN_DAYS * DAY)
        )

    def _expiry(self, token: str, now: float) -> dict[str, Any]:
        expires_at = self._refresh[token].expires_at
        return {"refresh_token_expires_in": int(expires_at - now), "refresh_token_expires_at": int(expires_at)}

    def check(self, access_token: str, scope: str) -> User:
        """Return the user of `access_token`. Raises the refusal unless it is valid and has `scope`."""
        with self._lock:
            access = self._access.get(access_token)
            if access is None or access.expires_at <= self._clock():
                raise unauthenticated()
            if scope not in (access.scopes or ()):
                raise missing_scope(scope)
            return access.user

    # -- for tests ----------------------------------------------------------------------------------------------

    def issue_access_token(self) -> str:
        """Return an access token without a refresh, for tests that call the emulator directly."""
        with self._lock:
            return self._issue(USER, self._scopes(None), self._clock())

    def refresh_tokens(self) -> set[str]:
        """Return the refresh tokens that are valid now."""
        with self._lock:
            return {token for token, access in self._refresh.items() if access.expires_at > self._clock()}

    def set_refresh_token(self, token: str, *, days: float = REFRESH_TOKEN_DAYS) -> None:
        """Make `token` valid for this many days from now; 0 or less: an expired one."""
        with self._lock:
            self._refresh[token] = _Grant(user=USER, scopes=None, expires_at=self._clock() + days * DAY)
