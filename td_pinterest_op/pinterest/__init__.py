"""The only folder that speaks HTTP to Pinterest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.client import Client, Counter
from td_pinterest_op.pinterest.oauth import Tokens
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.pinterest.transport import Timeouts, Transport
from td_pinterest_op.retry import Retry
from td_pinterest_op.secret import Secret

DEFAULT_ENDPOINT = "https://api.pinterest.com/v5"


@contextlib.contextmanager
def connected(
    *,
    endpoint: str,
    ad_account_id: str,
    client_id: Secret,
    client_secret: Secret,
    refresh_token: Secret,
    keep: Callable[[Secret | None, float | None], None],
    timeouts: Timeouts,
    connections: int,
    requests_per_minute: int,
    retry: Retry,
    count: Counter,
    clock: Callable[[], float],
    wall_clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Api]:
    """Pinterest's calls for one ad account, until the end of the block. Nothing is sent before the first call."""
    transport = Transport(timeouts=timeouts, connections=connections)
    rate_limiter = RateLimiter(requests_per_minute=requests_per_minute, clock=clock, wall_clock=wall_clock, sleep=sleep)
    client = Client(
        endpoint=endpoint, transport=transport, rate_limiter=rate_limiter, retry=retry, clock=clock, count=count
    )
    tokens = Tokens(
        client=client,
        client_id=client_id,
        client_secret=client_secret,
        refresh_token=refresh_token,
        keep=keep,
        clock=clock,
    )
    try:
        yield Api(client=client, tokens=tokens, ad_account_id=ad_account_id)
    finally:
        transport.close()
