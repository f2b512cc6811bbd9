"""Treasure Data's API: one call until it is answered or given up. The only importer of tdclient."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import tdclient.api
import urllib3

from td_pinterest_op import USER_AGENT
from td_pinterest_op.errors import TreasureDataError, WorkflowError
from td_pinterest_op.retry import Retry, retry_after
from td_pinterest_op.secret import Secret, mask
from td_pinterest_op.timing import Timing

log = logging.getLogger(__name__)

_REFUSED = {
    401: "Treasure Data refused the API key: check the secret td.apikey, and that TD_API_SERVER is the key's region",
    403: "Treasure Data does not permit this to the owner of the API key: give that user access to the database",
}
_TOO_MANY = 429


class TemporaryError(ConnectionError):
    """Treasure Data cannot answer now (429, 5xx, a broken connection); `asked` are the seconds it asks to wait."""

    def __init__(self, message: str, *, asked: float = 0.0) -> None:
        super().__init__(message)
        self.asked = asked


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
        timing: Timing,
    ) -> None:
        # It prints the key at DEBUG, and raw bodies, which can be rows, at WARNING.
        logging.getLogger("tdclient").setLevel(logging.ERROR)
        self.retry, self.sleep, self._wall_clock = retry, timing.sleep, timing.wall
        self._api = tdclient.api.API(
            api_key.reveal(),
            user_agent=USER_AGENT,
            # Without the slash it would ask for //v3/…
            endpoint=endpoint.rstrip("/") + "/",
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
            try:
                with self._opened(method, path, params=params) as response:
                    status, content = response.status, _json_object(response.read())
            except TemporaryError as error:
                failure = error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failure = TemporaryError(f"no answer ({_name(error)})")
            else:
                if status in (200, 404, 409):
                    return status, content
                raise TreasureDataError(
                    f'Treasure Data: answer {status} "{_said(content)}" to {method} {path}; run this task again later'
                )
            if attempt < self.retry.count:
                self.pause(failure, next(waits), f"to {method} {path}")
        raise TreasureDataError(
            f"Treasure Data: {failure} to {method} {path}, {self.retry.count + 1} times; run this task again later"
        )

    def pause(self, failure: TemporaryError, wait: float, what: str) -> None:
        """Sleep `wait` seconds, or as long as the answer asks. Raises TreasureDataError when that is too long."""
        if failure.asked > self.retry.longest_wait:
            raise TreasureDataError(
                f"Treasure Data: {failure} {what}; it asks to wait {failure.asked:.0f} s, more than "
                f"max_retry_wait_millis allows ({self.retry.longest_wait:.0f} s); run this task again later"
            )
        wait = max(wait, failure.asked)
        log.warning("Treasure Data: %s %s; trying again in %.1f s", failure, what, wait)
        self.sleep(wait)

    def stream(
        self, path: str, headers: Mapping[str, str]
    ) -> contextlib.AbstractContextManager[urllib3.BaseHTTPResponse]:
        """One GET whose body is read piece by piece; not repeated.

        Raises WorkflowError (key, permission); TemporaryError, other OSError and urllib3's HTTPError when it is worth
        another try.
        """
        return self._opened("GET", path, headers=headers)

    @contextlib.contextmanager
    def _opened(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        # Not td-client's get() and post(): these retry by themselves, for minutes, and hide what was answered.
        url, all_headers = self._api.build_request(path, dict(headers or {}))
        response = self._api.send_request(
            method, url, fields=dict(params) if params else None, headers=all_headers, preload_content=False
        )
        with contextlib.closing(response):
            if response.status in _REFUSED:
                raise WorkflowError(f"{_REFUSED[response.status]} (answer {response.status} to {method} {path})")
            if response.status == _TOO_MANY or response.status >= 500:
                asked = retry_after(response.headers, wall=self._wall_clock())
                raise TemporaryError(f"answer {response.status}", asked=asked or 0.0)
            yield response


def _name(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else None
    return type(cause or error).__name__


def _said(content: Mapping[str, Any]) -> str:
    # Masked before it is cut: half of an identifier would not be recognised.
    return mask(str(content.get("error") or content.get("message") or content.get("text") or ""))[:300]


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
