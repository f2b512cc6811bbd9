"""What a response of Pinterest holds."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from td_pinterest_op.errors import ExportError, PinterestError
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.request import Request, TokenSource
from td_pinterest_op.transport import Response

_PAGE_SIZE = 250


def read(client: Client, tokens: TokenSource, path: str, *, purpose: str) -> Response:
    """What is at a path below the endpoint. Raises the client's errors."""
    return client.send(Request(method="GET", path=path, purpose=purpose), tokens).response


def listed(
    client: Client, tokens: TokenSource, path: str, *, purpose: str, **given: str | Sequence[str]
) -> Iterator[dict[str, Any]]:
    """The entities of a listing, page after page. A query's name is repeated for each text of a sequence.

    Raises PinterestError for a response that is no page, and the client's errors.
    """
    query = given | {"page_size": str(_PAGE_SIZE)}
    seen: set[str] = set()
    while True:
        response = read(client, tokens, f"{path}?{urllib.parse.urlencode(query, doseq=True)}", purpose=purpose)
        page = response.content
        items = page.get("items")
        if not isinstance(items, list):
            raise unusable(response, purpose, "has no items")
        yield from (item for item in items if isinstance(item, dict) and "id" in item)
        bookmark = text_of(page.get("bookmark"))
        if not bookmark:
            return
        if bookmark in seen:
            raise unusable(response, purpose, "names the same next page again")
        seen.add(bookmark)
        query["bookmark"] = bookmark


def unusable(response: Response, purpose: str, why: str) -> ExportError:
    """The error for a success whose content is not what Pinterest promises: it may have been carried out."""
    return PinterestError(
        f"Pinterest answered {response.status} to {purpose}, but the answer {why} "
        f"[x-pinterest-rid {response.request_id}]",
        status=response.status,
        maybe_applied=True,
    )


def text_of(value: object) -> str:
    """The value as text, empty for a null."""
    return "" if value is None else str(value)
