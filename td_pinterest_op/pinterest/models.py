"""Pinterest's audiences and customer lists, parsed from responses. Unknown fields are ignored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.http.transport import parse_whole_number
from td_pinterest_op.redaction.format import format_label
from td_pinterest_op.stats import Condition, find_condition

CUSTOMER_LIST, ACTALIKE = "CUSTOMER_LIST", "ACTALIKE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """An audience; `customer_list_id` is None unless its rule names a customer list.

    `size`: matched people, None while Pinterest does not know. `created`: seconds since 1970, None if it does not say.
    """

    id: str
    name: str
    audience_type: str
    ad_account_id: str | None
    customer_list_id: str | None
    status: str
    size: int | None = None
    description: str = ""
    created: int | None = None

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Audience":
        """Build an audience from Pinterest's JSON."""
        rule = content.get("rule")
        list_id = rule.get("customer_list_id") if isinstance(rule, dict) else None
        return cls(
            id=to_text(content["id"]),
            name=to_text(content.get("name")),
            audience_type=to_text(content.get("audience_type")),
            ad_account_id=to_text(content.get("ad_account_id")) or None,
            customer_list_id=to_text(list_id) or None,
            status=to_text(content.get("status")),
            size=parse_whole_number(content.get("size")),
            description=to_text(content.get("description")),
            created=parse_whole_number(content.get("created_timestamp")),
        )

    @property
    def label(self) -> str:
        """The audience's name in messages, with its id."""
        return format_label("audience", self.id, self.name)

    @property
    def is_removed(self) -> bool:
        """Whether the audience has been removed. It can still be read, but not changed."""
        return find_condition(self.status) is Condition.REMOVED


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerList:
    """A customer list. `uploaded` and `removed` count all records ever sent; None if Pinterest does not say."""

    id: str
    name: str
    uploaded: int | None
    removed: int | None = None
    status: str = ""

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "CustomerList":
        """Build a customer list from Pinterest's JSON."""
        return cls(
            id=to_text(content["id"]),
            name=to_text(content.get("name")),
            uploaded=parse_whole_number(content.get("num_uploaded_user_records")),
            removed=parse_whole_number(content.get("num_removed_user_records")),
            status=to_text(content.get("status")),
        )

    @property
    def label(self) -> str:
        """The customer list's name in messages, with its id."""
        return format_label("customer list", self.id, self.name)


def to_text(value: object) -> str:
    """Return a value of Pinterest's JSON as text; "" for null."""
    return "" if value is None else str(value)
