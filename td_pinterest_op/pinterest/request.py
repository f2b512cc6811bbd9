"""A request to Pinterest, whose authorisation goes with it, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from requests.auth import AuthBase

from td_pinterest_op.printable import escaped
from td_pinterest_op.transport import Response

_AD_ACCOUNT = re.compile(r"/ad_accounts/(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to Pinterest.

    `purpose` completes "Pinterest answered 500 to …". `path` is below the endpoint. `advice`: what to do about a
    response that refuses it, by Pinterest's code (None: any other), where there is more to say than the policy does.
    `divisible`: its records can be sent in several requests.
    """

    method: str
    path: str
    purpose: str
    body: bytes | None = None
    content_type: str = "application/json"
    write: bool = False
    has_records: bool = False
    repeatable: bool = True
    divisible: bool = False
    advice: Mapping[int | None, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The purpose and the ad account. Names in it are escaped: they come from elsewhere."""
        account = _AD_ACCOUNT.match(self.path)
        return escaped(self.purpose) + (f" (ad account {account[1]})" if account else "")

    @property
    def quotable(self) -> bool:
        """Whether messages may quote the response: it may echo records, and the token endpoint's may echo secrets."""
        return not self.has_records and not self.path.startswith("/oauth/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A success; `latency` is that of the last attempt alone, `throttled` whether any attempt got a 429."""

    response: Response
    latency: float
    throttled: bool


class TokenSource(Protocol):
    """Where a request's authorisation comes from."""

    def token(self) -> AuthBase:
        """The authorisation to send now."""

    def worked(self, used: AuthBase) -> None:
        """A request with `used` succeeded."""

    def refresh(self, used: AuthBase) -> bool:
        """After a 401: whether there is another authorisation than `used`, or may be."""


class FixedToken:
    """A source of one authorisation that cannot be renewed."""

    def __init__(self, auth: AuthBase) -> None:
        self._auth = auth

    def token(self) -> AuthBase:
        """The only one that there is."""
        return self._auth

    def worked(self, used: AuthBase) -> None:
        """Nothing to record."""

    def refresh(self, used: AuthBase) -> bool:  # noqa: ARG002 - the protocol's
        """False: there is no other."""
        return False
