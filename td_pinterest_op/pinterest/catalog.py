"""What Pinterest shows of ad accounts, audiences and customer lists: everything, for people who look around."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.errors import ExportError, PinterestError
from td_pinterest_op.pinterest.client import Client, Request, TokenSource, json_object

_PAGE_SIZE = 250
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
        return map(_ad_account, self._pages("/ad_accounts", "listing ad accounts", include_shared_accounts="true"))

    def audiences(self, ad_account_id: str) -> Iterator[dict[str, Any]]:
        """The audiences that the ad account owns, as Pinterest shows them, newest first."""
        path = f"/ad_accounts/{ad_account_id}/audiences"
        return self._pages(path, "listing audiences", order="DESCENDING", ownership_type="OWNED")

    def customer_lists(self, ad_account_id: str) -> Iterator[dict[str, Any]]:
        """The customer lists of the ad account, as Pinterest shows them, newest first."""
        return self._pages(f"/ad_accounts/{ad_account_id}/customer_lists", "listing customer lists", order="DESCENDING")

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
            return _text((self._one("/user_account", "looking up the user") or {}).get("username")) or None
        except ExportError as error:
            if error.status in (401, 403):
                return None
            raise

    def _one(self, path: str, purpose: str) -> dict[str, Any] | None:
        request = Request(method="GET", path=path, purpose=purpose)
        try:
            return json_object(self._client.send(request, self._tokens).response)
        except ExportError as error:
            if error.status == 404:
                return None
            raise

    def _pages(self, path: str, purpose: str, **query: str) -> Iterator[dict[str, Any]]:
        query["page_size"] = str(_PAGE_SIZE)
        seen: set[str] = set()
        while True:
            request = Request(method="GET", path=f"{path}?{urllib.parse.urlencode(query)}", purpose=purpose)
            page = json_object(self._client.send(request, self._tokens).response)
            items, bookmark = page.get("items"), _text(page.get("bookmark"))
            if not isinstance(items, list) or bookmark in seen:
                raise PinterestError(f"Pinterest's answer to {purpose} is no page of a listing: run the command again")
            yield from (item for item in items if isinstance(item, dict) and "id" in item)
            if not bookmark:
                return
            seen.add(bookmark)
            query["bookmark"] = bookmark


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _ad_account(content: dict[str, Any]) -> AdAccount:
    owner = content.get("owner")
    owner = owner if isinstance(owner, dict) else {}
    roles = content.get("permissions")
    return AdAccount(
        id=_text(content["id"]),
        name=_text(content.get("name")),
        owner=_text(owner.get("username")),
        owner_id=_text(owner.get("id")),
        roles=tuple(map(str, roles)) if isinstance(roles, list) else (),
    )
