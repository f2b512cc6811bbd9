"""What Pinterest shows of ad accounts, audiences and customer lists: everything, for people who look around."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from td_pinterest_op.errors import ExportError
from td_pinterest_op.json_body import json_object
from td_pinterest_op.pinterest.client import Client, Request, TokenSource
from td_pinterest_op.pinterest.content import listed, text_of
from td_pinterest_op.pinterest.transport import Response

# Roles that may write customer lists and audiences.
WRITERS = frozenset({"OWNER", "ADMIN", "AUDIENCE_MANAGER"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdAccount:
    """An ad account that the token may read. `roles` are those of the token's user, as Pinterest names them."""

    id: str
    name: str
    owner: str
    owner_id: str
    roles: tuple[str, ...]

    @property
    def may_write(self) -> bool | None:
        """Whether the roles allow an export; None when Pinterest does not show any."""
        return not WRITERS.isdisjoint(self.roles) if self.roles else None


class Catalog:
    """Reads over all pages. Every method raises the client's errors."""

    def __init__(self, *, client: Client, tokens: TokenSource) -> None:
        self._client, self._tokens = client, tokens

    def ad_accounts(self) -> Iterator[AdAccount]:
        """All ad accounts that the token may read, those of others that are shared with it included."""
        return map(_ad_account, self._listed("/ad_accounts", "listing ad accounts", include_shared_accounts="true"))

    def audiences(self, ad_account_id: str) -> Iterator[dict[str, Any]]:
        """The audiences that the ad account owns, as Pinterest shows them, newest first."""
        path = f"/ad_accounts/{ad_account_id}/audiences"
        return self._listed(path, "listing audiences", order="DESCENDING", ownership_type="OWNED")

    def customer_lists(self, ad_account_id: str) -> Iterator[dict[str, Any]]:
        """The customer lists of the ad account, as Pinterest shows them, newest first."""
        return self._listed(
            f"/ad_accounts/{ad_account_id}/customer_lists", "listing customer lists", order="DESCENDING"
        )

    def audience(self, ad_account_id: str, audience_id: str) -> dict[str, Any] | None:
        """One audience, None when the ad account has none with that id."""
        return self._one(f"/ad_accounts/{ad_account_id}/audiences/{audience_id}", f"looking up audience {audience_id}")

    def customer_list(self, ad_account_id: str, list_id: str) -> dict[str, Any] | None:
        """One customer list, None when the ad account has none with that id."""
        path = f"/ad_accounts/{ad_account_id}/customer_lists/{list_id}"
        return self._one(path, f"looking up customer list {list_id}")

    def username(self) -> str | None:
        """The user in whose name the token acts; None without the scope user_accounts:read."""
        try:
            return text_of((self._one("/user_account", "looking up the user") or {}).get("username")) or None
        except ExportError as error:
            if error.status in (401, 403):
                return None
            raise

    def _one(self, path: str, purpose: str) -> dict[str, Any] | None:
        try:
            return json_object(self._get(path, purpose).body)
        except ExportError as error:
            if error.status == 404:
                return None
            raise

    def _listed(self, path: str, purpose: str, **query: str) -> Iterator[dict[str, Any]]:
        return listed(partial(self._get, purpose=purpose), path, purpose=purpose, **query)

    def _get(self, path: str, purpose: str) -> Response:
        return self._client.send(Request(method="GET", path=path, purpose=purpose), self._tokens).response


def _ad_account(content: dict[str, Any]) -> AdAccount:
    owner = content.get("owner")
    owner = owner if isinstance(owner, dict) else {}
    roles = content.get("permissions")
    return AdAccount(
        id=text_of(content["id"]),
        name=text_of(content.get("name")),
        owner=text_of(owner.get("username")),
        owner_id=text_of(owner.get("id")),
        roles=tuple(map(str, roles)) if isinstance(roles, list) else (),
    )
