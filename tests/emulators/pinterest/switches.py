"""What is not established of the live service, or differs from app to app: settable while the emulator runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

# The values of the switches that have a fixed choice.
CHOICES: dict[str, tuple[str, ...]] = {
    "removed_audiences": ("readable", "gone"),
    "second_remove": ("accepted", "404"),
    "ratelimit_headers": ("delta", "epoch", "off"),
    "poison_answer": ("400", "exceptions"),
}


@dataclass(slots=True, kw_only=True)
class Switches:
    """All may be set at any time; seconds are those of the emulator's clock unless said otherwise.

    moves_rules: UPDATE with a rule moves the audience to that list; False answers success and ignores the rule.
    removed_audiences: a removed audience is "readable" (status REMOVED) or "gone" (404); it is never listed.
    second_remove: removing a removed audience is "accepted" or answered "404".
    rotate_refresh_tokens: every refresh issues a new refresh token and refuses the old one from then on.
    renew_refresh_tokens: every refresh issues a new refresh token; the old one stays good.
    token_expiry_fields: answers say when the refresh token ends.
    scope: of the access tokens issued from now on.
    created_status: of the answers to a token or creating request, 200 or 201.
    extra_fields: fields that no client knows are sprinkled over the answers.
    ratelimit_headers: x-ratelimit-reset in seconds from now ("delta"), since 1970 ("epoch"), or no such headers.
    ratelimit_limit_header: the literal x-ratelimit-limit, in place of the true one.
    limits: requests a minute by category (ads_write, ads_read, org_read); a category that is left out is unlimited.
    burst: requests a second, for each category.
    echo_records_in_errors: refusals of a request with records quote the first three of them.
    poison: hex digests that no batch may hold; poison_answer: what is answered to one that does, "400" (nothing is
        applied) or "exceptions" (200; the others are applied).
    max_records: more in one request are answered 413.
    processing_seconds: for so long after a write a list is PROCESSING and its audiences INITIALIZING.
    latency_seconds: real seconds that every write takes.
    keeps_members: False counts records without keeping them, for measurements.
    """

    moves_rules: bool = True
    removed_audiences: str = "readable"
    second_remove: str = "accepted"
    rotate_refresh_tokens: bool = False
    renew_refresh_tokens: bool = False
    token_expiry_fields: bool = True
    scope: str = "ads:read ads:write"
    created_status: int = 200
    extra_fields: bool = True
    ratelimit_headers: str = "delta"
    ratelimit_limit_header: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    burst: int | None = None
    echo_records_in_errors: bool = False
    poison: frozenset[str] = frozenset()
    poison_answer: str = "400"
    max_records: int | None = None
    processing_seconds: float = 0.0
    latency_seconds: float = 0.0
    keeps_members: bool = True

    def set(self, values: Mapping[str, Any]) -> None:
        """Set several by name, from JSON. Raises ValueError for a switch or a value that does not exist."""
        for name, value in values.items():
            if name not in {known.name for known in fields(self)}:
                raise ValueError(f"there is no switch called {name}")
            if name in CHOICES and value not in CHOICES[name]:
                raise ValueError(f"{name} is one of {', '.join(CHOICES[name])}")
        for name, value in values.items():
            setattr(self, name, frozenset(value) if name == "poison" else value)
