"""OAuth: which refresh tokens are good, and the access tokens that were issued for them."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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


@dataclass(slots=True, kw_only=True)
class _Grant:
    """An access token; `uses_left` None: as many as it likes."""

    expires_at: float
    scopes: frozenset[str]
    uses_left: int | None


class Tokens:
    """Every method may be called from any thread. `clock` gives seconds since 1970."""

    def __init__(self, *, switches: Switches, clock: Callable[[], float]) -> None:
        self._switches, self._clock = switches, clock
        self._lock = threading.Lock()
        self._refresh = {REFRESH_TOKEN: clock() + REFRESH_TOKEN_DAYS * DAY}
        self._access: dict[str, _Grant] = {}
        self.refreshes = 0

    def refresh(self, refresh_token: str) -> dict[str, Any]:
        """The answer to a refresh request. Raises the refusal for a token that is unknown, rotated away or expired."""
        with self._lock:
            now = self._clock()
            if self._refresh.get(refresh_token, 0.0) <= now:
                raise invalid_grant()
            self.refreshes += 1
            if self._switches.refresh_ends_access_tokens:
                self._access.clear()
            answer: dict[str, Any] = {
                "response_type": "refresh_token",
                "token_type": "bearer",
                "access_token": self._issue(now),
                "expires_in": ACCESS_TOKEN_DAYS * DAY,
                "scope": self._switches.scope,
            }
            current = self._renew(refresh_token, now)
            if current != refresh_token:
                answer["refresh_token"] = current
            if self._switches.token_expiry_fields:
                answer["refresh_token_expires_in"] = int(self._refresh[current] - now)
                answer["refresh_token_expires_at"] = int(self._refresh[current])
            return answer

    def _issue(self, now: float) -> str:
        token = f"pina.{MARKER}-{secrets.token_hex(16)}"
        given = self._switches.access_token_seconds
        self._access[token] = _Grant(
            expires_at=now + (ACCESS_TOKEN_DAYS * DAY if given is None else given),
            scopes=frozenset(self._switches.scope.split()),
            uses_left=self._switches.access_token_uses,
        )
        return token

    def _renew(self, used: str, now: float) -> str:
        if not (self._switches.rotate_refresh_tokens or self._switches.renew_refresh_tokens):
            return used
        if self._switches.rotate_refresh_tokens:
            del self._refresh[used]
        token = f"pinr.{MARKER}-{secrets.token_hex(16)}"
        self._refresh[token] = now + REFRESH_TOKEN_DAYS * DAY
        return token

    def check(self, access_token: str, scope: str) -> None:
        """Raises the refusal unless `access_token` is good and has `scope`."""
        with self._lock:
            grant = self._access.get(access_token)
            if grant is None or grant.expires_at <= self._clock() or grant.uses_left == 0:
                raise unauthenticated()
            if grant.uses_left is not None:
                grant.uses_left -= 1
            if scope not in grant.scopes:
                raise missing_scope(scope)

    def issue_access_token(self) -> str:
        """An access token without a refresh, for tests that speak to the emulator themselves."""
        with self._lock:
            return self._issue(self._clock())

    def revoke_access_tokens(self) -> None:
        """Refuse every access token issued until now."""
        with self._lock:
            self._access.clear()

    def refresh_tokens(self) -> set[str]:
        """The refresh tokens that are good now."""
        with self._lock:
            return {token for token, expires_at in self._refresh.items() if expires_at > self._clock()}

    def set_refresh_token(self, token: str, *, days: float = REFRESH_TOKEN_DAYS) -> None:
        """Make `token` a good one for so many days from now; 0 or less: an expired one."""
        with self._lock:
            self._refresh[token] = self._clock() + days * DAY
