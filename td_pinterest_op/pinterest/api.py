"""Pinterest's API v5: audiences and customer lists of an ad account."""

# To add a request:
# 1. Test it (tests/unit/pinterest/test_api.py), and what published clients make of the emulator's answer
#    (tests/contract/test_pinterestsdk.py).
# 2. Add it to the emulator as Pinterest describes it, in tests/emulators/pinterest: operations.py, and shapes.py for
#    the fields of its body.
# 3. Write a method of `Api`. What it assumes of Pinterest is a row of docs/what-has-been-seen.md.
import enum
import json
import logging
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from td_pinterest_op.errors import PinterestError, RequestRefusedError, Subject
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client, Request, TokenSource
from td_pinterest_op.redaction.secret import escape_and_quote, mask_and_escape
from td_pinterest_op.runtime.text import format_count, parse_id, parse_whole_number

log = logging.getLogger(__name__)

CUSTOMER_LIST_TYPE = "CUSTOMER_LIST"
ACTALIKE_TYPE = "ACTALIKE"
_MOST_PAGES = 4000  # a million entities
# Without ownership_type, Pinterest also lists audiences that others share.
_QUERY_BY_KIND = {"audiences": {"ownership_type": "OWNED"}}


class AudienceCondition(enum.Enum):
    """What an audience's status means for its use. Each value lists the statuses that mean it.

    Any other status means MATCHING: Pinterest is still looking for the people.
    """

    # Source: AudienceStatus of the API description 5.28, and the statuses that removed audiences were seen with.
    READY = ("READY",)
    TOO_SMALL = ("TOO_SMALL", "PERSONAS_INELIGIBLE_SIZE")
    REMOVED = ("REMOVED", "DELETED", "ARCHIVED")
    MATCHING = ()


def classify_audience_status(status: str) -> AudienceCondition:
    """Return what Pinterest's `status` of an audience means."""
    return next(
        (condition for condition in AudienceCondition if status.upper() in condition.value), AudienceCondition.MATCHING
    )


@dataclass(frozen=True, kw_only=True)
class Audience:
    """An audience as Pinterest reports it."""

    id: str
    name: str
    audience_type: str
    ad_account_id: str | None
    customer_list_id: str | None  # None unless the audience's rule names one
    status: str
    size: int | None = None  # matched people; None if unknown
    description: str = ""

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Audience":
        """Parse Pinterest's JSON. Raises as `parse_optional_id_field`."""
        return cls(
            id=parse_optional_id_field(content, "id") or "",
            name=parse_optional_field(content, "name", ""),
            audience_type=mask_and_escape(parse_optional_field(content, "audience_type", "")),
            ad_account_id=parse_optional_id_field(content, "ad_account_id"),
            customer_list_id=parse_optional_id_field(parse_optional_field(content, "rule", {}), "customer_list_id"),
            status=mask_and_escape(parse_optional_field(content, "status", "")),
            size=parse_whole_number(content.get("size")),
            description=parse_optional_field(content, "description", ""),
        )

    @property
    def label(self) -> str:
        """The audience's id and name, for messages."""
        return f"audience {self.id} {escape_and_quote(self.name)}"

    @property
    def subject(self) -> Subject:
        """The audience as the subject of an error."""
        return ("audience", self.id)

    @property
    def is_removed(self) -> bool:
        """Whether the audience was removed: it can still be read, but not changed."""
        return classify_audience_status(self.status) is AudienceCondition.REMOVED


@dataclass(frozen=True, kw_only=True)
class CustomerList:
    """A customer list as Pinterest reports it."""

    id: str
    name: str
    uploaded: int | None  # all records that were ever sent to the list; None if unknown
    status: str = ""
    created: int | None = None  # seconds since 1970; None if unknown

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "CustomerList":
        """Parse Pinterest's JSON. Raises as `parse_optional_id_field`."""
        return cls(
            id=parse_optional_id_field(content, "id") or "",
            name=parse_optional_field(content, "name", ""),
            uploaded=parse_whole_number(content.get("num_uploaded_user_records")),
            status=parse_optional_field(content, "status", ""),
            created=parse_whole_number(content.get("created_time")),
        )

    @property
    def is_processing(self) -> bool:
        """Whether Pinterest is still working on the list's records. Audiences may be unable to use it until then."""
        return self.status.upper() in ("PROCESSING", "UPLOADING")


class RecordsToSend(Protocol):
    """The records of one request. The length is their number."""

    def __len__(self) -> int: ...

    def iterate_json_field(self) -> Iterable[bytes]:
        """Yield the JSON field of the records, such as `"records":"…"`, in pieces."""


@dataclass(frozen=True, kw_only=True)
class Api:
    """Pinterest's API for one ad account. Every method may raise PinterestError and the errors of `Client.send`.

    A creation that may have been carried out is not repeated, but raises MaybeAppliedError. If Pinterest rejects
    records, RequestRefusedError has the status 400 or 413.
    """

    client: Client
    tokens: TokenSource
    ad_account_id: str

    @property
    def subject(self) -> Subject:
        """The ad account as the subject of an error."""
        return ("ad account", self.ad_account_id)

    @property
    def _account_path(self) -> str:
        return f"/ad_accounts/{self.ad_account_id}"

    def list_audiences(self) -> Iterator[Audience]:
        """Yield the audiences that the ad account owns, newest first."""
        return map(Audience.parse, self.list_entities("audiences"))

    def find_audience(self, audience_id: str) -> Audience | None:
        """Return the ad account's audience with this id, or None."""
        content = self.find_entity("audiences", audience_id)
        return None if content is None else Audience.parse(content)

    def create_audience(
        self, *, name: str, description: str | None, rule: Mapping[str, object], audience_type: str = CUSTOMER_LIST_TYPE
    ) -> Audience:
        """Create and return an audience of the people that `rule` selects, such as `{"customer_list_id": …}`."""
        content = {"audience_type": audience_type, "name": name, "rule": rule}
        if description:
            content["description"] = description
        return Audience.parse(self._send_write("audiences", f'create audience "{name}"', content).content)

    def switch_audience(self, audience_id: str, *, customer_list_id: str) -> None:
        """Make an audience use another customer list. Only reading the audience again shows whether it does."""
        purpose = f"switch audience {audience_id} to customer list {customer_list_id}"
        content = {"operation_type": "UPDATE", "rule": {"customer_list_id": customer_list_id}}
        self._send_write("audiences", purpose, content, entity_id=audience_id)

    def remove_audience(self, audience_id: str) -> bool:
        """Remove an audience. Returns False if Pinterest does not know it."""
        purpose = f"remove audience {audience_id}"
        try:
            self._send_write("audiences", purpose, {"operation_type": "REMOVE"}, entity_id=audience_id)
        except RequestRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    def list_customer_lists(self, *, until: Callable[[CustomerList], bool] | None = None) -> Iterator[CustomerList]:
        """Yield the customer lists of the ad account, newest first, up to the page where `until` is true for a list.

        All lists are read without `until`, or if Pinterest does not show the newest first.
        """
        ages: list[tuple[int, str]] = []
        for items in self._list_pages(f"{self._account_path}/customer_lists", order="DESCENDING"):
            lists = list(map(CustomerList.parse, items))
            yield from lists
            ages = [*ages[-1:], *(build_age_key(each.id) for each in lists)]
            if ages != sorted(ages, reverse=True):
                until = None
            if until and any(map(until, lists)):
                return

    def find_customer_list(self, list_id: str) -> CustomerList | None:
        """Return the ad account's customer list with this id, or None."""
        content = self.find_entity("customer_lists", list_id)
        return None if content is None else CustomerList.parse(content)

    def create_customer_list(
        self, *, name: str, list_type: str, records: RecordsToSend | None = None, is_nca: bool = False
    ) -> CustomerList:
        """Create and return a customer list. `list_type`: such as EMAIL. `is_nca`: for new-customer acquisition."""
        purpose = f'create customer list "{name}"' + (
            f" with {format_count(len(records), 'record')}" if records else ""
        )
        content = {"name": name, "list_type": list_type} | ({"is_nca": True} if is_nca else {})
        return CustomerList.parse(self._send_write("customer_lists", purpose, content, records=records).content)

    def change_records(self, list_id: str, records: RecordsToSend, *, operation: str) -> Response:
        """Add records to a customer list, or remove them. `operation`: ADD or REMOVE."""
        change = "add {} to" if operation == "ADD" else "remove {} from"
        purpose = f"{change.format(format_count(len(records), 'record'))} customer list {list_id}"
        return self._send_write(
            "customer_lists", purpose, {"operation_type": operation}, entity_id=list_id, records=records
        )

    def list_entities(self, kind: str, **query: str | Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of the ad account's entities of a `kind`, such as `audiences`, newest first.

        `query`: parameters of the URL, which may have several values.
        """
        query = {"order": "DESCENDING", **_QUERY_BY_KIND.get(kind, {}), **query}
        return self.list_items(f"{self._account_path}/{kind}", **query)

    def find_entity(self, kind: str, entity_id: str) -> dict[str, Any] | None:
        """Return the JSON object of an entity of the ad account, or None. `kind`: such as `audiences`."""
        purpose = f"look up {kind.removesuffix('s').replace('_', ' ')} {entity_id}"
        try:
            response = self.get(f"{self._account_path}/{kind}/{entity_id}", purpose=purpose)
        except RequestRefusedError as error:
            if error.status == 404:
                return None
            raise
        if response.content.get("exceptions"):
            log.warning(
                "Pinterest's answer to the request to %s reports exceptions in earlier uploads [x-pinterest-rid %s]",
                purpose,
                response.request_id,
            )
        _require_response_id(response, purpose, entity_id)
        return response.content

    def list_items(self, path: str, **query: str | Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of all pages of a listing, each with its `id` as text. `query`: see `list_entities`.

        `path`: see `Request`; it ends with the kind of entity, such as /ad_accounts.
        """
        return chain.from_iterable(self._list_pages(path, **query))

    def _list_pages(self, path: str, **query: str | Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        purpose = f"list {path.rpartition('/')[2].replace('_', ' ')}"
        query["page_size"] = "250"
        seen: set[str | None] = {None}  # a page that shifts while it is read repeats items
        for _ in range(_MOST_PAGES):
            response = self.get(f"{path}?{urllib.parse.urlencode(query, doseq=True)}", purpose=purpose)
            # Without the field, an answer is no listing.
            items = parse_optional_field(response.content, "items", [None])
            page = {parse_id(item.get("id")) if isinstance(item, dict) else None: item for item in items}
            yield [{**item, "id": id_} for id_, item in page.items() if id_ not in seen]
            _raise_unless_valid(None not in page, response, purpose, "the answer has no items with ids of digits")
            seen.update(page)
            bookmark = parse_optional_field(response.content, "bookmark", "")
            if not bookmark:
                return
            query["bookmark"] = bookmark
        _raise_unless_valid(False, response, purpose, f"the listing has no end: {_MOST_PAGES:,} pages were read")

    def get(self, path: str, *, purpose: str) -> Response:
        """Send a GET request. `path`, `purpose`: see `Request`."""
        return self.client.send(Request(method="GET", path=path, purpose=purpose), self.tokens)

    def _send_write(
        self,
        kind: str,
        purpose: str,
        content: dict[str, Any],
        *,
        entity_id: str | None = None,
        records: RecordsToSend | None = None,
    ) -> Response:
        """Create an entity of a `kind`, such as `audiences`, or change the one with `entity_id`.

        `content`: the JSON fields besides the records. Raises PinterestError if the response has `exceptions`, no id,
        or that of another entity.
        """
        body = json.dumps(content).encode()
        request = Request(
            method="PATCH" if entity_id else "POST",
            path=f"{self._account_path}/{kind}" + (f"/{entity_id}" if entity_id else ""),
            purpose=purpose,
            body=b"".join([body[:-1], b",", *records.iterate_json_field(), b"}"]) if records else body,
            write=True,
            has_records=records is not None,
            repeatable=entity_id is not None,
        )
        response = self.client.send(request, self.tokens)
        failed = "the answer contains exceptions: Pinterest carried out the request only in part, or not at all"
        _raise_unless_valid(not response.content.get("exceptions"), response, purpose, failed, is_write=True)
        _require_response_id(response, purpose, entity_id, is_write=True)
        return response


def _raise_unless_valid(
    is_valid: object, response: Response, purpose: str, problem: str, *, is_write: bool = False
) -> None:
    """Raise PinterestError "Pinterest answered … to the request to `purpose`, but `problem`" if not `is_valid`."""
    if not is_valid:
        raise PinterestError(
            f"Pinterest answered {response.status} to the request to {purpose}, but {problem} "
            f"[x-pinterest-rid {response.request_id}]",
            status=response.status,
            maybe_applied=is_write,
        )


def _require_response_id(response: Response, purpose: str, entity_id: str | None, *, is_write: bool = False) -> None:
    """Raise PinterestError unless a response has the id `entity_id`, or any valid id if that is None."""
    id_ = parse_id(response.content.get("id"))
    expected = f"the id {entity_id}" if entity_id else "an id of digits"
    doubt = ", so it is unknown whether Pinterest carried out the request" if is_write else ""
    problem = f"the answer does not have {expected}{doubt}"
    _raise_unless_valid(id_ and entity_id in (None, id_), response, purpose, problem, is_write=is_write)


def build_age_key(entity_id: str) -> tuple[int, str]:
    """Return a sort key for ids that puts the oldest audience or list first: ids are growing numbers."""
    return len(entity_id), entity_id


def parse_optional_field(content: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return a field of Pinterest's JSON, `default` for null. Raises PinterestError if their types differ."""
    value = content.get(name)
    if value is None:
        return default
    if not isinstance(value, type(default)):
        raise _build_field_error(name)
    return value


def parse_optional_id_field(content: Mapping[str, Any], name: str) -> str | None:
    """Return an id in Pinterest's JSON, None for null or "". Raises PinterestError for anything else."""
    value = content.get(name)
    id_ = parse_id(value)
    if id_ is None and value not in (None, ""):
        raise _build_field_error(name)
    return id_


def _build_field_error(name: str) -> PinterestError:
    return PinterestError(
        f"Pinterest's answer cannot be used, since its field {name} is not of the documented type",
        advice="Run this task again. If that does not help, check whether a proxy changes Pinterest's answers",
    )
