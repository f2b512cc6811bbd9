"""The ad accounts that a token gives access to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.pinterest.api import Api, to_text
from td_pinterest_op.redaction.secret import escape

# Roles that may change customer lists and audiences.
WRITER_ROLES = frozenset({"OWNER", "ADMIN", "AUDIENCE_MANAGER"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdAccount:
    """An ad account that the token may read. `roles`: the user's roles in it, as Pinterest names them."""

    id: str
    name: str
    owner: str
    roles: tuple[str, ...]

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "AdAccount":
        """Return the ad account that Pinterest's JSON describes."""
        owner = content.get("owner")
        roles = content.get("permissions")
        return cls(
            id=to_text(content["id"]),
            name=to_text(content.get("name")),
            owner=to_text(owner.get("username")) if isinstance(owner, dict) else "",
            roles=tuple(map(str, roles)) if isinstance(roles, list) else (),
        )

    @property
    def label(self) -> str:
        """The ad account's id and name, for messages."""
        return f'{self.id} "{escape(self.name)}"'

    @property
    def may_write(self) -> bool | None:
        """Whether the user's roles allow an export, or None if Pinterest does not show the roles."""
        return not WRITER_ROLES.isdisjoint(self.roles) if self.roles else None


def list_ad_accounts(api: Api) -> Iterator[AdAccount]:
    """Yield all ad accounts that the token may read, including shared ones."""
    items = api.list_items("/ad_accounts", purpose="list ad accounts", include_shared_accounts="true")
    return map(AdAccount.parse, items)
