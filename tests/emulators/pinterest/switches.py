"""What is not established of the live service, or differs from app to app: settable while the emulator runs."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(kw_only=True)
class Switches:
    """All may be set at any time; seconds are those of the emulator's clock unless said otherwise.

    moves_rules: UPDATE with a rule moves the audience to that list; False answers success and ignores the rule.
    refuses_moves: UPDATE with the rule of another list is answered 400.
    move_lag_seconds: for this long after a move, reads and listings show the audience's earlier list.
    removed_audiences: a removed audience is "readable" (status `removed_status`: REMOVED or ARCHIVED) or "gone" (404);
        it is never listed.
    second_remove: removing a removed audience is "accepted" or answered "404".
    records_required: a list is created with records or not at all, as descriptions up to 5.23 say.
    takes_rows: records_v2 is known; else it is an unknown field, as before 5.28.
    listing_lag_seconds: listings show the state of that long ago, without what was created since.
    listing_lag_varies: of what was created, listings show some at once, some after a part of the lag, in any order.
    ignores_order: listings show the oldest first, whatever a request asks for.
    reading_lag_seconds: reads of one list or audience show the state of that long ago; newer ones are not found.
    new_list_missing_seconds: for this long after its creation a list is not found, neither to read nor to write.
    processing_refusal: an audience is not put on a list that is PROCESSING: "409", "400" (invalid audience), or "off".
    upload_counters: lists show how many records they were sent; False leaves these fields out.
    rotate_refresh_tokens: every refresh issues a new refresh token and refuses the old one from then on.
    renew_refresh_tokens: every refresh issues a new refresh token; the old one stays good.
    token_expiry_fields: answers say when the refresh token ends.
    refresh_ends_access_tokens: every refresh ends the access tokens that were issued before it.
    scope: of the access tokens that the first refresh token buys from now on; those of a consent have what was
        approved.
    redirect_uris: those registered in the app; they must match to the letter.
    created_status: 200 or 201, of the answers to a request that asks for a token, creates something, or updates an
        audience.
    ratelimit_headers: x-ratelimit-reset in seconds from now ("delta"), or no such headers ("off").
    ratelimit_limit_header: the literal x-ratelimit-limit, in place of the true one.
    limits: requests a minute by category (ads_write, ads_read, org_read); a category that is left out is unlimited.
    echo_records_in_errors: refusals of a request with records quote the first three of them.
    poison: hex digests that no batch may hold: it is answered 400, and nothing of it is applied.
    refused_to_add, refused_to_remove: the same, of batches that add, and of those that remove.
    max_records: more in one request are answered `max_records_answer`: "413" or "400".
    batches_at_once: more batches for one list at the same time are answered 429; every batch takes half a real second,
        so that they meet.
    largest_body: bytes; a longer body gets no answer, and its connection is reset.
    processing_seconds: for this long after a write a list is PROCESSING and its audiences INITIALIZING.
    latency_seconds: real seconds that every write takes.
    unknown_audiences: an ad account or an audience that is asked for and does not exist is made, on an empty list; the
        names of audiences by id. None: neither is made. See `World.unknown`.
    keeps_members: False counts records without keeping them, for measurements.
    """

    moves_rules: bool = True
    refuses_moves: bool = False
    move_lag_seconds: float = 0.0
    removed_audiences: str = "readable"
    removed_status: str = "REMOVED"
    second_remove: str = "accepted"
    records_required: bool = True
    takes_rows: bool = True
    listing_lag_seconds: float = 0.0
    listing_lag_varies: bool = False
    ignores_order: bool = False
    reading_lag_seconds: float = 0.0
    new_list_missing_seconds: float = 0.0
    processing_refusal: str = "off"
    upload_counters: bool = True
    rotate_refresh_tokens: bool = False
    renew_refresh_tokens: bool = False
    token_expiry_fields: bool = True
    refresh_ends_access_tokens: bool = False
    scope: str = "ads:read ads:write"
    redirect_uris: frozenset[str] = frozenset({"http://localhost:8085/"})
    created_status: int = 200
    ratelimit_headers: str = "delta"
    ratelimit_limit_header: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    echo_records_in_errors: bool = False
    poison: frozenset[str] = frozenset()
    refused_to_add: frozenset[str] = frozenset()
    refused_to_remove: frozenset[str] = frozenset()
    max_records: int | None = None
    max_records_answer: str = "413"
    batches_at_once: int | None = None
    largest_body: int | None = None
    processing_seconds: float = 0.0
    latency_seconds: float = 0.0
    unknown_audiences: Mapping[str, str] | None = None
    keeps_members: bool = True

    def listing_lag(self, id_: str) -> float:
        """Return the seconds by which listings lag behind the state of one list or audience."""
        share = zlib.crc32(id_.encode()) % 4 / 3 if self.listing_lag_varies else 1.0
        return self.listing_lag_seconds * share

    def set(self, values: Mapping[str, Any]) -> None:
        """Set several by name, from JSON. Raises ValueError for a switch that does not exist."""
        for name, value in values.items():
            if name not in {known.name for known in fields(self)}:
                raise ValueError(f"there is no switch called {name}")
            setattr(self, name, frozenset(value) if isinstance(getattr(self, name), frozenset) else value)
