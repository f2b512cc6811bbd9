"""What Pinterest shows to a token outside any ad account: which ones it reads, and in whose name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.errors import ExportError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.content import listed, read, text_of
from td_pinterest_op.pinterest.request import TokenSource

# Roles that may write customer lists and audiences.
WRITERS = frozenset({"OWNER", "ADMIN", "AUDIENCE_MANAGER"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdAccount:
    """An ad account that the token may read. `roles` are those of the token's user, as Pinterest names them."""

    id: str
    name: str
    owner: str
    roles: tuple[str, ...]

    @property
    def label(self) -> str:
        """Its id and its name, for a message."""
        return f'{self.id} "{self.name}"'

    @property
    def may_write(self) -> bool | None:
        """Whether the roles allow an export; None when Pinterest does not show any."""
        return not WRITERS.isdisjoint(self.roles) if self.roles else None


class Catalog:
    """What a token reads outside any ad account. Every method raises the client's errors."""

    def __init__(self, *, client: Client, tokens: TokenSource) -> None:
        self._client, self._tokens = client, tokens

    def ad_accounts(self) -> Iterator[AdAccount]:
        """All ad accounts that the token may read, those of others that are shared with it included."""
        shared = {"purpose": "listing ad accounts", "include_shared_accounts": "true"}
        return map(_ad_account, listed(self._client, self._tokens, "/ad_accounts", **shared))

    def username(self) -> str | None:
        """The user in whose name the token acts; None without the scope user_accounts:read."""
        try:
            response = read(self._client, self._tokens, "/user_account", purpose="looking up the user")
            return text_of(response.content.get("username")) or None
        except ExportError as error:
            if error.status in (401, 403, 404):
                return None
            raise


def _ad_account(content: dict[str, Any]) -> AdAccount:
    owner, roles = content.get("owner"), content.get("permissions")
    return AdAccount(
        id=text_of(content["id"]),
        name=text_of(content.get("name")),
        owner=text_of(owner.get("username")) if isinstance(owner, dict) else "",
        roles=tuple(map(str, roles)) if isinstance(roles, list) else (),
    )
