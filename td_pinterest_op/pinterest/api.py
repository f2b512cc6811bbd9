"""The calls of Pinterest's API v5 about audiences and customer lists, named as Pinterest names them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from td_pinterest_op.audience_status import GONE
from td_pinterest_op.errors import RequestRefusedError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.content import listed, read, text_of, unusable
from td_pinterest_op.pinterest.request import Outcome, Request, TokenSource
from td_pinterest_op.printable import labelled
from td_pinterest_op.transport import Response

log = logging.getLogger(__name__)

CUSTOMER_LIST, ACTALIKE = "CUSTOMER_LIST", "ACTALIKE"
# Without ownership_type, Pinterest lists audiences that others shared as well.
_QUERIES = {"audiences": {"ownership_type": "OWNED"}}


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

    @property
    def label(self) -> str:
        """The audience as messages name it."""
        return labelled("audience", self.id, self.name)

    @property
    def is_removed(self) -> bool:
        """Whether the audience has been removed: it can still be read, and never changed."""
        return self.status.upper() in GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerList:
    """A customer list; `uploaded` and `removed` count all records ever sent, None when Pinterest does not say."""

    id: str
    name: str
    uploaded: int | None
    removed: int | None = None
    status: str = ""

    @property
    def label(self) -> str:
        """The list as messages name it."""
        return labelled("customer list", self.id, self.name)


class Records(Protocol):
    """Records that go into one request; `len` counts them."""

    def __len__(self) -> int: ...

    def to_json(self) -> Iterable[bytes]:
        """The member of a request's body that holds them, such as `"records":"…"`, in parts."""


class Api:
    """Pinterest's calls for one ad account. Every method raises the client's errors and PinterestError.

    Calls that create are not repeated when they may have been applied: they raise MaybeAppliedError then.
    """

    def __init__(self, *, client: Client, tokens: TokenSource, ad_account_id: str) -> None:
        self.client, self._tokens, self.ad_account_id = client, tokens, ad_account_id
        self._account = f"/ad_accounts/{ad_account_id}"

    def audiences(self) -> Iterator[Audience]:
        """All audiences that the ad account owns, newest first, over all pages."""
        return map(_audience, self.listed("audiences"))

    def audience(self, audience_id: str) -> Audience | None:
        """The audience, None when Pinterest has none with that id in this ad account."""
        content = self.entity("audiences", audience_id)
        return None if content is None else _audience(content)

    def create_audience(self, *, name: str, description: str | None, customer_list_id: str) -> Audience:
        """Create an audience on a customer list. Raises MaybeAppliedError when it may exist."""
        given = {"description": description} if description else {}
        return self._create_audience(name, CUSTOMER_LIST, {"customer_list_id": customer_list_id}, **given)

    def create_actalike_audience(
        self, *, name: str, description: str, seed_audience_id: str, country: str, percentage: int
    ) -> Audience:
        """A new look-alike audience: the `percentage` (1 to 10) of a country's people who are most like the seed."""
        rule = {"seed_id": [seed_audience_id], "country": country, "percentage": percentage}
        return self._create_audience(name, ACTALIKE, rule, description=description)

    def move_audience(self, audience_id: str, *, customer_list_id: str) -> None:
        """Ask Pinterest to put another customer list behind an audience. Only reading it back shows whether it did."""
        purpose = f"moving audience {audience_id} to customer list {customer_list_id}"
        content = {"operation_type": "UPDATE", "rule": {"customer_list_id": customer_list_id}}
        self._write("PATCH", f"/audiences/{audience_id}", purpose, content)

    def remove_audience(self, audience_id: str) -> None:
        """Remove an audience. Raises ExportError with status 404 when Pinterest does not know it."""
        purpose = f"removing audience {audience_id}"
        self._write("PATCH", f"/audiences/{audience_id}", purpose, {"operation_type": "REMOVE"})

    def customer_lists(self) -> Iterator[CustomerList]:
        """All customer lists of the ad account, newest first, over all pages."""
        return map(_customer_list, self.listed("customer_lists"))

    def customer_list(self, list_id: str) -> CustomerList | None:
        """The customer list, None when Pinterest has none with that id in this ad account."""
        content = self.entity("customer_lists", list_id)
        return None if content is None else _customer_list(content)

    def create_customer_list(
        self, *, name: str, list_type: str, records: Records | None = None, is_nca: bool = False
    ) -> CustomerList:
        """A new customer list with its first records; `list_type` is that of a type of identifiers.

        `is_nca`: the list is for new-customer acquisition.

        Raises RequestRefusedError with the status 400 or 413 when Pinterest will not take the records.
        """
        content = json.dumps({"name": name, "list_type": list_type} | ({"is_nca": True} if is_nca else {})).encode()
        request = Request(
            method="POST",
            path=f"{self._account}/customer_lists",
            purpose=f'creating customer list "{name}"' + (f" with {len(records)} records" if records else ""),
            body=b"".join([content[:-1], b",", *records.to_json(), b"}"]) if records else content,
            write=True,
            has_records=records is not None,
            divisible=records is not None and len(records) > 1,
            repeatable=False,
        )
        return _customer_list(_entity(self._send(request).response, request.purpose))

    def change_records(self, list_id: str, records: Records, *, operation: str) -> Outcome:
        """ADD or REMOVE records.

        Raises RequestRefusedError with the status 400 or 413 when Pinterest will not take the records.
        """
        request = Request(
            method="PATCH",
            path=f"{self._account}/customer_lists/{list_id}",
            purpose=f"{operation} of {len(records)} records, customer list {list_id}",
            body=b"".join([b'{"operation_type":"%s",' % operation.encode(), *records.to_json(), b"}"]),
            write=True,
            has_records=True,
            divisible=len(records) > 1,
        )
        outcome = self._send(request)
        _entity(outcome.response, request.purpose)
        return outcome

    def listed(self, what: str, **query: str | Sequence[str]) -> Iterator[dict[str, Any]]:
        """What the ad account has of one kind, such as `audiences`, as Pinterest shows it, the newest first."""
        purpose = f"listing {what.replace('_', ' ')}"
        whole = {"order": "DESCENDING", **_QUERIES.get(what, {}), **query}
        return listed(self.client, self._tokens, f"{self._account}/{what}", purpose=purpose, **whole)

    def entity(self, what: str, entity_id: str) -> dict[str, Any] | None:
        """One of a kind, such as `audiences`, as Pinterest shows it; None when the ad account has none of that id."""
        purpose = f"looking up {what.removesuffix('s').replace('_', ' ')} {entity_id}"
        path = f"{self._account}/{what}/{entity_id}"
        try:
            return _entity(read(self.client, self._tokens, path, purpose=purpose), purpose, is_read=True)
        except RequestRefusedError as error:
            if error.status == 404:
                return None
            raise

    def _create_audience(self, name: str, audience_type: str, rule: dict[str, Any], **given: str) -> Audience:
        content = {"audience_type": audience_type, "name": name, "rule": rule, **given}
        return _audience(self._write("POST", "/audiences", f'creating audience "{name}"', content, repeatable=False))

    def _write(
        self, method: str, path: str, purpose: str, content: dict[str, Any], *, repeatable: bool = True
    ) -> dict[str, Any]:
        request = Request(
            method=method,
            path=self._account + path,
            purpose=purpose,
            body=json.dumps(content).encode(),
            write=True,
            repeatable=repeatable,
        )
        return _entity(self._send(request).response, purpose)

    def _send(self, request: Request) -> Outcome:
        return self.client.send(request, self._tokens)


def _entity(response: Response, purpose: str, *, is_read: bool = False) -> dict[str, Any]:
    """The one thing that an answer describes. A 2xx is a success only with an id and, for a write, without exceptions.

    On a read, exceptions are about earlier uploads.
    """
    content = response.content
    if content.get("exceptions") and is_read:
        log.warning(
            "Pinterest reports exceptions of earlier uploads (%s) [x-pinterest-rid %s]", purpose, response.request_id
        )
    elif content.get("exceptions"):
        raise unusable(response, purpose, "holds exceptions: Pinterest did not do it, or not all of it")
    if not content.get("id"):
        raise unusable(response, purpose, "has no id: whether it was done is not known")
    return content


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _audience(content: dict[str, Any]) -> Audience:
    rule = content.get("rule")
    list_id = rule.get("customer_list_id") if isinstance(rule, dict) else None
    return Audience(
        id=text_of(content["id"]),
        name=text_of(content.get("name")),
        audience_type=text_of(content.get("audience_type")),
        ad_account_id=text_of(content.get("ad_account_id")) or None,
        customer_list_id=text_of(list_id) or None,
        status=text_of(content.get("status")),
        size=_whole(content.get("size")),
        description=text_of(content.get("description")),
        created=_whole(content.get("created_timestamp")),
    )


def _customer_list(content: dict[str, Any]) -> CustomerList:
    return CustomerList(
        id=text_of(content["id"]),
        name=text_of(content.get("name")),
        uploaded=_whole(content.get("num_uploaded_user_records")),
        removed=_whole(content.get("num_removed_user_records")),
        status=text_of(content.get("status")),
    )
