"""Pinterest's API v5: audiences and customer lists of an ad account. Unknown fields of a response are ignored."""

import enum
import json
import logging
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from td_pinterest_op.errors import PinterestError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client, Request, TokenSource
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.runtime.text import format_count, parse_whole_number

log = logging.getLogger(__name__)

CUSTOMER_LIST = "CUSTOMER_LIST"
ACTALIKE = "ACTALIKE"
_NO_ID = "the answer has no id, so it is unknown whether Pinterest carried out the request"
# Without ownership_type, Pinterest lists audiences that others shared as well.
_QUERIES = {"audiences": {"ownership_type": "OWNED"}}


class Condition(enum.Enum):
    """What the status of an audience means for its use. Each value lists the Pinterest statuses that have this meaning.

    Any other status means MATCHING: Pinterest is still looking for the people.
    """

    # Source: AudienceStatus of the API description 5.28, and the statuses that removed audiences were seen with.
    READY = ("READY",)
    TOO_SMALL = ("TOO_SMALL", "PERSONAS_INELIGIBLE_SIZE")
    REMOVED = ("REMOVED", "DELETED", "ARCHIVED")
    MATCHING = ()


def classify_status(status: str) -> Condition:
    """Return the Condition of an audience that has this Pinterest status. An unknown status means MATCHING."""
    return next((condition for condition in Condition if status.upper() in condition.value), Condition.MATCHING)


@dataclass(frozen=True, kw_only=True)
class Audience:
    """An audience as Pinterest reports it."""

    id: str
    name: str
    audience_type: str
    ad_account_id: str | None
    customer_list_id: str | None  # None unless the audience's rule names a customer list
    status: str
    size: int | None = None  # matched people; None while Pinterest does not know
    description: str = ""

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Audience":
        """Return the audience that a JSON object of Pinterest's API describes."""
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
        )

    @property
    def label(self) -> str:
        """The audience's id and name as text for messages."""
        return f'audience {self.id} "{escape(self.name)}"'

    @property
    def is_removed(self) -> bool:
        """Whether the audience has been removed. A removed audience can be read, but not changed."""
        return classify_status(self.status) is Condition.REMOVED


@dataclass(frozen=True, kw_only=True)
class CustomerList:
    """A customer list as Pinterest reports it."""

    id: str
    name: str
    uploaded: int | None  # all records that were ever sent to the list; None if Pinterest has no count
    status: str = ""

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "CustomerList":
        """Return the customer list that a JSON object of Pinterest's API describes."""
        return cls(
            id=to_text(content["id"]),
            name=to_text(content.get("name")),
            uploaded=parse_whole_number(content.get("num_uploaded_user_records")),
            status=to_text(content.get("status")),
        )


class Records(Protocol):
    """Records to send to Pinterest in one request. The length is their number."""

    def __len__(self) -> int: ...

    def make_json_chunks(self) -> Iterable[bytes]:
        """Yield, in pieces, the field of the request's JSON with all records, such as `"records":"…"`."""


@dataclass(frozen=True, kw_only=True)
class Api:
    """Pinterest's API for one ad account. Every method may raise PinterestError and the errors of `Client.send`.

    A method that creates something raises MaybeAppliedError if the request may have been carried out, and does not
    repeat it. A method that sends records raises RequestRefusedError with the status 400 or 413 if Pinterest rejects
    them.
    """

    client: Client
    tokens: TokenSource
    ad_account_id: str

    @property
    def _account(self) -> str:
        """The beginning of the paths of the ad account's entities."""
        return f"/ad_accounts/{self.ad_account_id}"

    def list_audiences(self) -> Iterator[Audience]:
        """Yield all audiences that the ad account owns, newest first."""
        return map(Audience.parse, self.list_entities("audiences"))

    def find_audience(self, audience_id: str) -> Audience | None:
        """Return the audience with this id, or None if the ad account has no such audience."""
        content = self.get_entity("audiences", audience_id)
        return None if content is None else Audience.parse(content)

    def create_audience(
        self, *, name: str, description: str | None, rule: Mapping[str, object], audience_type: str = CUSTOMER_LIST
    ) -> Audience:
        """Create and return an audience of the people that `rule` selects, such as `{"customer_list_id": …}`."""
        content = {"audience_type": audience_type, "name": name, "rule": rule}
        if description:
            content["description"] = description
        response = self._send_write("POST", "/audiences", f'create audience "{name}"', content)
        return Audience.parse(response.content)

    def switch_audience(self, audience_id: str, *, customer_list_id: str) -> None:
        """Make an audience use another customer list. Only reading the audience again shows whether that is done."""
        purpose = f"switch audience {audience_id} to customer list {customer_list_id}"
        content = {"operation_type": "UPDATE", "rule": {"customer_list_id": customer_list_id}}
        self._send_write("PATCH", f"/audiences/{audience_id}", purpose, content)

    def remove_audience(self, audience_id: str) -> bool:
        """Remove an audience. Returns False if Pinterest does not know the audience."""
        purpose = f"remove audience {audience_id}"
        try:
            self._send_write("PATCH", f"/audiences/{audience_id}", purpose, {"operation_type": "REMOVE"})
        except RequestRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    def list_customer_lists(self) -> Iterator[CustomerList]:
        """Yield all customer lists of the ad account, newest first."""
        return map(CustomerList.parse, self.list_entities("customer_lists"))

    def find_customer_list(self, list_id: str) -> CustomerList | None:
        """Return the customer list with this id, or None if the ad account has no such list."""
        content = self.get_entity("customer_lists", list_id)
        return None if content is None else CustomerList.parse(content)

    def create_customer_list(
        self, *, name: str, list_type: str, records: Records | None = None, is_nca: bool = False
    ) -> CustomerList:
        """Create and return a customer list with `records`. `list_type`: such as EMAIL.

        `is_nca`: whether the list is for new-customer acquisition.
        """
        purpose = f'create customer list "{name}"' + (f" with {len(records)} records" if records else "")
        content = {"name": name, "list_type": list_type} | ({"is_nca": True} if is_nca else {})
        response = self._send_write("POST", "/customer_lists", purpose, content, records=records)
        return CustomerList.parse(response.content)

    def change_records(self, list_id: str, records: Records, *, operation: str) -> Response:
        """Add records to a customer list, or remove them (`operation` is ADD or REMOVE). Returns the response."""
        change = "add {} records to" if operation == "ADD" else "remove {} records from"
        purpose = f"{change.format(len(records))} customer list {list_id}"
        content = {"operation_type": operation}
        return self._send_write("PATCH", f"/customer_lists/{list_id}", purpose, content, records=records)

    def list_entities(self, kind: str, **query: str | Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of all entities of a `kind`, such as `audiences`, in the ad account, newest first.

        `query`: more parameters of the URL. A sequence gives one parameter several values.
        """
        query = {"order": "DESCENDING", **_QUERIES.get(kind, {}), **query}
        return self.list_items(f"{self._account}/{kind}", purpose=f"list {kind.replace('_', ' ')}", **query)

    def get_entity(self, kind: str, entity_id: str) -> dict[str, Any] | None:
        """Return an entity's JSON object, or None if the ad account has no such entity. `kind`: such as `audiences`."""
        purpose = f"look up {kind.removesuffix('s').replace('_', ' ')} {entity_id}"
        try:
            response = self.get(f"{self._account}/{kind}/{entity_id}", purpose=purpose)
        except RequestRefusedError as error:
            if error.status == 404:
                return None
            raise
        if response.content.get("exceptions"):
            found = f"reports exceptions in earlier uploads [x-pinterest-rid {response.request_id}]"
            log.warning("Pinterest's answer to the request to %s %s", purpose, found)
        _require_content(response.content.get("id"), response, purpose, _NO_ID)
        return response.content

    def list_items(self, path: str, *, purpose: str, **query: str | Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects in the field `items` of all pages of a listing. `path`: follows the endpoint.

        `purpose`: what the request is for, to complete "request to …" in errors. `query`: parameters of the URL.
        """
        query["page_size"] = "250"
        seen = set[str]()
        ids = set[str]()
        unusable = 0
        while True:
            response = self.get(f"{path}?{urllib.parse.urlencode(query, doseq=True)}", purpose=purpose)
            content = response.content
            _require_content(isinstance(content.get("items"), list), response, purpose, "the answer has no items")
            for item in content["items"]:
                id_ = to_text(item.get("id")) if isinstance(item, dict) else ""
                unusable += not id_
                if id_ and id_ not in ids:  # a page that shifts while it is read repeats items
                    ids.add(id_)
                    yield item
            bookmark = to_text(content.get("bookmark"))
            if not bookmark:
                _require_content(not unusable, response, purpose, f"{format_count(unusable, 'item')} had no id")
                return
            _require_content(bookmark not in seen, response, purpose, "the answer names the same next page again")
            seen.add(bookmark)
            query["bookmark"] = bookmark

    def get(self, path: str, *, purpose: str) -> Response:
        """Send a GET request for a `path` and return the response. `purpose` completes "the request to …" in errors."""
        return self.client.send(Request(method="GET", path=path, purpose=purpose), self.tokens)

    def _send_write(
        self, method: str, path: str, purpose: str, content: dict[str, Any], *, records: Records | None = None
    ) -> Response:
        """Send a POST or PATCH with the JSON fields `content` and the `records`, and return the response.

        `purpose` completes "the request to …" in errors. Raises PinterestError if the response has `exceptions` or no
        id.
        """
        body = json.dumps(content).encode()
        request = Request(
            method=method,
            path=self._account + path,
            purpose=purpose,
            body=b"".join([body[:-1], b",", *records.make_json_chunks(), b"}"]) if records else body,
            write=True,
            has_records=records is not None,
            repeatable=method != "POST",
        )
        response = self.client.send(request, self.tokens)
        failed = "the answer contains exceptions: Pinterest carried out the request only in part, or not at all"
        _require_content(not response.content.get("exceptions"), response, purpose, failed, is_write=True)
        _require_content(response.content.get("id"), response, purpose, _NO_ID, is_write=True)
        return response


def _require_content(
    is_valid: object, response: Response, purpose: str, problem: str, *, is_write: bool = False
) -> None:
    """Raise PinterestError "Pinterest answered … to the request to `purpose`, but `problem`" if not `is_valid`.

    `is_write`: whether the request may have changed something.
    """
    if not is_valid:
        text = f"Pinterest answered {response.status} to the request to {purpose}, but {problem}"
        rid = f" [x-pinterest-rid {response.request_id}]"
        raise PinterestError(text + rid, status=response.status, maybe_applied=is_write)


def age_key(entity_id: str) -> tuple[int, str]:
    """Return a sort key for the id of an audience or list that puts the oldest first: ids are growing numbers."""
    return len(entity_id), entity_id


def to_text(value: object) -> str:
    """Return a value of Pinterest's JSON as text, or "" for null."""
    return "" if value is None else str(value)
