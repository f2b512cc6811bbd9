"""Pinterest as a script: a transport with prepared answers, and a client around it on a clock that does not wait."""

import collections
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import requests
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from td_pinterest_op.http.retry import Retry
from td_pinterest_op.http.transport import Failure, NoResponseError, Response, Transport
from td_pinterest_op.pinterest.client import Client, TokenSource
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.stats import RequestCounts
from tests.clock import FakeTime

RETRY = Retry(count=3, initial_wait=0.5, longest_wait=300.0, random=lambda: 0.0)


def answer(status: int = 200, content: object = None, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body; one that describes a thing with the id 1 unless told."""
    body = json.dumps({"id": "1"} if content is None else content).encode()
    return Response(status=status, headers=CaseInsensitiveDict(headers or {}), body=body)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request as it left, and when."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    authorization: str | None
    at: float


class Script(Transport):
    """Gives its answers (or failures) in turn; the last one for ever. For several threads."""

    def __init__(self, time: FakeTime, answers: Iterable[Response | Failure]) -> None:
        self._time = time
        self._answers = collections.deque(answers)
        self._lock = threading.Lock()
        self.sent: list[Sent] = []

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, auth: AuthBase | None = None
    ) -> Response:
        prepared = requests.Request(method, url, headers=dict(headers), auth=auth).prepare()
        with self._lock:
            self.sent.append(
                Sent(
                    method=method,
                    url=url,
                    headers=headers,
                    body=body or b"",
                    authorization=prepared.headers.get("Authorization"),
                    at=self._time.now(),
                )
            )
            description = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        if isinstance(description, Failure):
            raise NoResponseError(description)
        return description

    def close(self) -> None:
        """Nothing is open."""

    @property
    def times(self) -> list[float]:
        """When each request left, in seconds after the first."""
        return [round(sent.at - self.sent[0].at, 3) for sent in self.sent]


@dataclass(kw_only=True)
class Scene:
    """A client between a script and a fake clock."""

    time: FakeTime
    script: Script
    counts: RequestCounts
    client: Client


def scene(*answers: Response | Failure, retry: Retry = RETRY, requests_per_minute: int = 390) -> Scene:
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


class Keys(TokenSource):
    """A token source with this many tokens: the next one each time the current one was refused."""

    def __init__(self, count: int = 1) -> None:
        self.refused_tokens_worked: list[bool] = []
        self._keys: list[AuthBase] = [_Key(f"key {number}") for number in range(1, count + 1)]

    def get_token(self) -> AuthBase:
        return self._keys[0]

    def replace_token(self, token: AuthBase, *, has_worked: bool) -> bool:
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
