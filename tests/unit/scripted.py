"""A service as a script: a transport with the answers of requests-mock, and a client of Pinterest without waits."""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import Mock

import requests
import requests_mock
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from td_pinterest_op.http.retry import RetrySchedule
from td_pinterest_op.http.transport import Failure, NoResponseError, Response, Transport
from td_pinterest_op.pinterest.client import Client, TokenSource
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.stats import RequestCounts
from tests.clock import FakeTime

RETRY = RetrySchedule(count=3, initial_wait=0.5, longest_wait=300.0, random=lambda: 0.0)


def answer(status: int = 200, content: object = None, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body; one that describes a thing with the id 1 unless told."""
    body = json.dumps({"id": "1"} if content is None else content).encode()
    return Response(status=status, headers=CaseInsensitiveDict(headers or {}), body=body)


def _to_mocked(given: Response | Failure) -> dict[str, Any]:
    if isinstance(given, Failure):
        return {"exc": NoResponseError(given)}
    return {"status_code": given.status, "headers": given.headers, "content": given.body}


class _WriteTimeoutAdapter(requests_mock.Adapter):
    def send(self, *arguments: Any, **options: Any) -> Any:
        response = super().send(*arguments, **options)
        response.raw._original_response = Mock()  # which limits what comes from a socket
        return response


class Script(Transport):
    """Gives its answers (or failures) in turn, in place of connections; the last one for ever. For several threads."""

    def __init__(self, time: FakeTime, answers: Iterable[Response | Failure]) -> None:
        super().__init__(connect_timeout=5, write_timeout=5, read_timeout=5, connections=1)
        self._time = time
        self._lock = threading.Lock()
        self._at: list[float] = []
        adapter = _WriteTimeoutAdapter()
        adapter.register_uri(requests_mock.ANY, requests_mock.ANY, list(map(_to_mocked, answers)))
        self._adapter = adapter  # type: ignore[assignment]
        self.sent = adapter.request_history

    def send(self, *arguments: Any, **options: Any) -> Response:
        with self._lock:
            self._at.append(self._time.now())
            return super().send(*arguments, **options)

    @property
    def times(self) -> list[float]:
        """When each request left, in seconds after the first."""
        return [round(at - self._at[0], 3) for at in self._at]


@dataclass(kw_only=True)
class Scene:
    """A client between a script and a fake clock."""

    time: FakeTime
    script: Script
    counts: RequestCounts
    client: Client


def scene(*answers: Response | Failure, retry: RetrySchedule = RETRY, requests_per_minute: int = 390) -> Scene:
    time = FakeTime()
    counts = RequestCounts()
    script = Script(time, answers)
    rate_limiter = RateLimiter(requests_per_minute=requests_per_minute, timing=time.timing)
    client = Client(
        endpoint="https://pinterest.test/v5/",
        transport=script,
        rate_limiter=rate_limiter,
        retry=retry,
        timing=time.timing,
        counts=counts,
    )
    return Scene(time=time, script=script, counts=counts, client=client)


def describe_td(time: FakeTime, *, retries: int, transport: Transport | None = None) -> dict[str, Any]:
    """Return the arguments of a client of Treasure Data whose requests, if it sends any, go to this transport."""
    return {
        "api_key": Secret("1/unused"),
        "endpoint": "https://td.test",
        "transport": transport or Script(time, []),
        "retry": RetrySchedule(count=retries, initial_wait=1, longest_wait=60, random=lambda: 0.0),
        "timing": time.timing,
    }


class Keys(TokenSource):
    """A token source with this many tokens: the next one each time the current one was refused."""

    def __init__(self, count: int = 1) -> None:
        self.refused_tokens_worked: list[bool] = []
        self._keys: list[AuthBase] = [_Key(f"key {number}") for number in range(1, count + 1)]

    def get_token(self) -> AuthBase:
        return self._keys[0]

    def replace_refused_token(self, token: AuthBase, *, has_worked: bool) -> bool:
        self.refused_tokens_worked.append(has_worked)
        if token is self._keys[0] and len(self._keys) == 1:
            return False
        self._keys.pop(0)
        return True


class _Key(AuthBase):
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._name
        return request
