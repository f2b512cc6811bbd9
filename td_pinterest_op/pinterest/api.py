"""The calls of Pinterest's API v5 about ad accounts, audiences and customer lists, named as Pinterest names them."""

from __future__ import annotations

import json
import logging
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from td_pinterest_op.errors import ExportError, PinterestError, RequestRefusedError
from td_pinterest_op.http.transport import Response
from td_pinterest_op.pinterest.client import Client, Request, TokenSource
from td_pinterest_op.pinterest.models import ACTALIKE, CUSTOMER_LIST, AdAccount, Audience, CustomerList, to_text

log = logging.getLogger(__name__)

_PAGE_SIZE = 250
# Of a listing: 2.5 million entities, in ten minutes at Pinterest's limit of reads.
_MOST_PAGES = 10_000
# Without ownership_type, Pinterest lists audiences that others shared as well.
_QUERIES = {"audiences": {"ownership_type": "OWNED"}}


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

    def ad_accounts(self) -> Iterator[AdAccount]:
        """All ad accounts that the token may read, those of others that are shared with it included."""
        pages = self._pages("/ad_accounts", purpose="listing ad accounts", include_shared_accounts="true")
        return map(AdAccount.of, pages)

    def username(self) -> str | None:
        """The user in whose name the token acts; None without the scope user_accounts:read."""
        try:
            return to_text(self._read("/user_account", purpose="looking up the user").content.get("username")) or None
        except ExportError as error:
            if error.status in (401, 403, 404):
                return None
            raise

    def audiences(self) -> Iterator[Audience]:
        """All audiences that the ad account owns, newest first, over all pages."""
        return map(Audience.of, self.list_entities("audiences"))

    def audience(self, audience_id: str) -> Audience | None:
        """The audience, None when Pinterest has none with that id in this ad account."""
        content = self.get_entity("audiences", audience_id)
        return None if content is None else Audience.of(content)

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

    def switch_audience(self, audience_id: str, *, customer_list_id: str) -> None:
        """Ask Pinterest to put another customer list behind an audience. Only reading it back shows whether it did."""
        purpose = f"switching audience {audience_id} to customer list {customer_list_id}"
        content = {"operation_type": "UPDATE", "rule": {"customer_list_id": customer_list_id}}
        self._write("PATCH", f"/audiences/{audience_id}", purpose, content)

    def remove_audience(self, audience_id: str) -> None:
        """Remove an audience. Raises ExportError with status 404 when Pinterest does not know it."""
        purpose = f"removing audience {audience_id}"
        self._write("PATCH", f"/audiences/{audience_id}", purpose, {"operation_type": "REMOVE"})

    def customer_lists(self) -> Iterator[CustomerList]:
        """All customer lists of the ad account, newest first, over all pages."""
        return map(CustomerList.of, self.list_entities("customer_lists"))

    def customer_list(self, list_id: str) -> CustomerList | None:
        """The customer list, None when Pinterest has none with that id in this ad account."""
        content = self.get_entity("customer_lists", list_id)
        return None if content is None else CustomerList.of(content)

    def create_customer_list(
        self, *, name: str, list_type: str, records: Records | None = None, is_nca: bool = False
    ) -> CustomerList:
        """A new customer list with its first records; `list_type` is that of a type of identifiers.

        `is_nca`: the list is for new-customer acquisition.

        Raises RequestRefusedError with the status 400 or 413 when Pinterest will not take the records.
        """
        purpose = f'creating customer list "{name}"' + (f" with {len(records)} records" if records else "")
        content = {"name": name, "list_type": list_type} | ({"is_nca": True} if is_nca else {})
        response = self._write("POST", "/customer_lists", purpose, content, records=records, repeatable=False)
        return CustomerList.of(response.content)

    def change_records(self, list_id: str, records: Records, *, operation: str) -> Response:
        """ADD or REMOVE records.

        Raises RequestRefusedError with the status 400 or 413 when Pinterest will not take the records.
        """
        purpose = f"{operation} of {len(records)} records, customer list {list_id}"
        return self._write(
            "PATCH", f"/customer_lists/{list_id}", purpose, {"operation_type": operation}, records=records
        )

    def list_entities(self, what: str, **query: str | Sequence[str]) -> Iterator[dict[str, Any]]:
        """What the ad account has of one kind, such as `audiences`, as Pinterest shows it, the newest first.

        A query's name is repeated for each text of a sequence.
        """
        whole = {"order": "DESCENDING", **_QUERIES.get(what, {}), **query}
        return self._pages(f"{self._account}/{what}", purpose=f"listing {what.replace('_', ' ')}", **whole)

    def get_entity(self, what: str, entity_id: str) -> dict[str, Any] | None:
        """One of a kind, such as `audiences`, as Pinterest shows it; None when the ad account has none of that id."""
        purpose = f"looking up {what.removesuffix('s').replace('_', ' ')} {entity_id}"
        try:
            response = self._read(f"{self._account}/{what}/{entity_id}", purpose=purpose)
        except RequestRefusedError as error:
            if error.status == 404:
                return None
            raise
        if response.content.get("exceptions"):
            log.warning(
                "Pinterest reports exceptions of earlier uploads (%s) [x-pinterest-rid %s]",
                purpose,
                response.request_id,
            )
        _check_id(response, purpose)
        return response.content

    def _pages(self, path: str, *, purpose: str, **given: str | Sequence[str]) -> Iterator[dict[str, Any]]:
        """The entities of a listing, page after page. Raises PinterestError for a response that is no page."""
        query = given | {"page_size": str(_PAGE_SIZE)}
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            response = self._read(f"{path}?{urllib.parse.urlencode(query, doseq=True)}", purpose=purpose)
            page = response.content
            items = page.get("items")
            if not isinstance(items, list):
                raise _unusable(response, purpose, "has no items")
            yield from (item for item in items if isinstance(item, dict) and "id" in item)
            bookmark = to_text(page.get("bookmark"))
            if not bookmark:
                return
            if bookmark in seen:
                raise _unusable(response, purpose, "names the same next page again")
            seen.add(bookmark)
            query["bookmark"] = bookmark
        raise PinterestError(
            f"Pinterest names a next page after {_MOST_PAGES:,} pages of {purpose}: it may go on without end. Run this "
            f"task again; if it happens again, report it to Pinterest [x-pinterest-rid {response.request_id}]"
        )

    def _read(self, path: str, *, purpose: str) -> Response:
        return self.client.send(Request(method="GET", path=path, purpose=purpose), self._tokens)

    def _create_audience(self, name: str, audience_type: str, rule: dict[str, Any], **given: str) -> Audience:
        content = {"audience_type": audience_type, "name": name, "rule": rule, **given}
        response = self._write("POST", "/audiences", f'creating audience "{name}"', content, repeatable=False)
        return Audience.of(response.content)

    def _write(
        self,
        method: str,
        path: str,
        purpose: str,
        content: dict[str, Any],
        *,
        records: Records | None = None,
        repeatable: bool = True,
    ) -> Response:
        """A 2xx is a success only with an id and without exceptions. On a read, these are about earlier uploads."""
        body = json.dumps(content).encode()
        request = Request(
            method=method,
            path=self._account + path,
            purpose=purpose,
            body=b"".join([body[:-1], b",", *records.to_json(), b"}"]) if records else body,
            write=True,
            has_records=records is not None,
            divisible=records is not None and len(records) > 1,
            repeatable=repeatable,
        )
        response = self.client.send(request, self._tokens)
        if response.content.get("exceptions"):
            raise _unusable(response, purpose, "holds exceptions: Pinterest did not do it, or not all of it")
        _check_id(response, purpose)
        return response


def _check_id(response: Response, purpose: str) -> None:
    if not response.content.get("id"):
        raise _unusable(response, purpose, "has no id: whether it was done is not known")


def _unusable(response: Response, purpose: str, why: str) -> ExportError:
    """The error for a success whose content is not what Pinterest promises: it may have been carried out."""
    return PinterestError(
        f"Pinterest answered {response.status} to {purpose}, but the answer {why} "
        f"[x-pinterest-rid {response.request_id}]",
        status=response.status,
        maybe_applied=True,
    )
