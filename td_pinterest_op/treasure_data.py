"""Treasure Data's API: one call until it is answered or given up. The only importer of tdclient."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tdclient.api
import tdclient.errors
import urllib3

from td_pinterest_op.errors import TreasureDataError, WorkflowError
from td_pinterest_op.retry import Retry
from td_pinterest_op.secret import Secret

log = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "https://api.treasuredata.com/"
_REFUSED = {
    401: "Treasure Data refused the API key: check the secret td.apikey, and that TD_API_SERVER is the key's region",
    403: "Treasure Data does not permit this to the owner of the API key: give that user access to the database",
}
_TOO_MANY = 429


class TreasureData:
    """Calls with retries; waits come from `retry`, in seconds."""

    def __init__(
        self,
        *,
        api_key: Secret,
        endpoint: str,
        connect_timeout: float,
        read_timeout: float,
        retry: Retry,
        sleep: Callable[[float], None],
    ) -> None:
        # It prints the key at DEBUG and raw bodies, which can be rows, at WARNING.
        logging.getLogger("tdclient").setLevel(logging.ERROR)
        self.retry, self.sleep = retry, sleep
        self._api = tdclient.api.API(
            api_key.reveal(),
            user_agent="td_pinterest_op",
            # Without the slash it would ask for //v3/…
            endpoint=endpoint.rstrip("/") + "/",
            # Below zero: none of its own retries, which sleep for minutes and leave out 429.
            max_cumul_retry_delay=-1,
            # No redirect is followed: the key goes to the endpoint only.
            retries=urllib3.Retry(total=0, redirect=0, raise_on_redirect=False),
            timeout=urllib3.Timeout(connect=connect_timeout, read=read_timeout),
        )

    def call(self, method: str, path: str, **params: str) -> tuple[int, dict[str, Any]]:
        """The status (200, 404 or 409) and the JSON object of an answer.

        A POST is repeated like a GET: give it a `domain_key`, or make sure that it may be.
        Raises WorkflowError (key, permission) and TreasureDataError.
        """
        waits = self.retry.waits()
        for attempt in range(self.retry.count + 1):
            status, content, asked, what = self._once(method, path, params)
            if status in (200, 404, 409):
                return status, content
            if status in _REFUSED:
                raise WorkflowError(f"{_REFUSED[status]} (answer {status} to {method} {path})")
            if status and status < 500 and status != _TOO_MANY:
                break
            if attempt < self.retry.count:
                wait = max(next(waits), asked)
                log.warning("Treasure Data: %s to %s %s; trying again in %.1f s", what, method, path, wait)
                self.sleep(wait)
        raise TreasureDataError(f"Treasure Data: {what} to {method} {path}; run this task again later")

    def _once(self, method: str, path: str, params: Mapping[str, str]) -> tuple[int, dict[str, Any], float, str]:
        """Status (0 without an answer), JSON object, seconds that it asks to wait, and what it was."""
        try:
            call = self._api.get(path) if method == "GET" else self._api.post(path, dict(params))
            with call as response:
                content = _json_object(response.read())
        except (tdclient.errors.APIError, urllib3.exceptions.HTTPError, OSError):
            # td-client turns every 5xx and every broken connection into the same error.
            return 0, {}, 0.0, "no answer, or a server error,"
        asked = response.headers.get("Retry-After", "")
        seconds = min(float(asked), self.retry.longest_wait) if asked.isdecimal() else 0.0
        text = str(content.get("error") or content.get("message") or content.get("text") or "")[:300]
        return response.status, content, seconds, f'answer {response.status} "{text}"'

    @contextlib.contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """One GET whose body is read piece by piece; not repeated. Raises ConnectionError when there is no answer."""
        try:
            response = self._api.get(path, headers=dict(headers))
        except tdclient.errors.APIError:
            raise ConnectionError from None
        with response as opened:
            yield opened


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
