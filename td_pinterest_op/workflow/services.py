"""A task and its settings → the two services, built once. Nothing is contacted before the first call."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.http.retry import Retry
from td_pinterest_op.http.transport import Transport, is_safe
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.oauth import Tokens
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.settings.table import ConnectionSettings
from td_pinterest_op.stats import RequestCounts
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.workflow.task import Task
from td_pinterest_op.workflow.token_store import TokenStore

# The environment variables of the official clients, and their defaults.
_DEFAULTS = {"TD_API_SERVER": "https://api.treasuredata.com/", "PINTEREST_API_ENDPOINT": "https://api.pinterest.com/v5"}

OnNewRefreshToken = Callable[[Secret | None, float | None], None]


class Endpoints(NamedTuple):
    """Where the two services are: URLs that secrets may be sent to."""

    treasure_data: str
    pinterest: str


def read_endpoints(environ: Mapping[str, str]) -> Endpoints:
    """The endpoints that the environment names. Raises SettingsError for one that secrets must not be sent to."""
    given = {name: environ.get(name, "").strip() or default for name, default in _DEFAULTS.items()}
    urls = {name: url if "://" in url else f"https://{url}" for name, url in given.items()}
    unsafe = [name for name, url in urls.items() if not is_safe(url)]
    if unsafe:
        raise SettingsError(f"{' and '.join(unsafe)} must be https (plain http only to this machine's loop-back)")
    return Endpoints(*urls.values())


@dataclass(frozen=True, kw_only=True)
class Services:
    """The two services of a run: one client, one token and one rate limit for all ad accounts."""

    client: Client
    tokens: Tokens
    ad_account_id: str
    timing: Timing
    connect_treasure_data: Callable[[], TreasureData]

    @property
    def pinterest(self) -> Api:
        """Pinterest's calls for the ad account of the settings."""
        return self.pinterest_for(self.ad_account_id)

    def pinterest_for(self, ad_account_id: str) -> Api:
        """Pinterest's calls for any ad account that the token may use."""
        return Api(client=self.client, tokens=self.tokens, ad_account_id=ad_account_id)

    @cached_property
    def treasure_data(self) -> TreasureData:
        """Treasure Data's calls. Raises SettingsError without an API key."""
        return self.connect_treasure_data()


@contextlib.contextmanager
def connect(
    task: Task,
    settings: ConnectionSettings,
    *,
    timing: Timing,
    count: RequestCounts | None = None,
    on_new_refresh_token: OnNewRefreshToken | None = None,
    scopes: Sequence[str] = (),
) -> Iterator[Services]:
    """Both services, until the end of the block.

    `count` gets the requests that write to Pinterest. Each refresh token that Pinterest issues goes to
    `on_new_refresh_token` (see `Tokens`); without it, to where the task's own token came from. A token
    that lacks one of the `scopes` is an AccountError before any other request.

    Raises SettingsError for an endpoint that secrets must not be sent to.
    """
    where, store = read_endpoints(task.environ), open_token_store(task, settings, timing)
    with open_client(settings, endpoint=where.pinterest, timing=timing, count=count) as client:
        tokens = Tokens(
            client=client,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            refresh_token=settings.refresh_token,
            on_new_refresh_token=on_new_refresh_token or store.save,
            stored_refresh_token=store.stored,
            scopes=scopes,
            timing=timing,
        )
        yield Services(
            client=client,
            tokens=tokens,
            ad_account_id=settings.ad_account_id,
            timing=timing,
            connect_treasure_data=lambda: TreasureData(
                api_key=task.td_api_key,
                endpoint=where.treasure_data,
                transport=client.transport,
                retry=_retry(settings),
                timing=timing,
            ),
        )


@contextlib.contextmanager
def open_client(
    settings: ConnectionSettings, *, endpoint: str, timing: Timing, count: RequestCounts | None = None
) -> Iterator[Client]:
    """Requests to Pinterest, until the end of the block."""
    transport = Transport(
        connect_timeout=settings.connection_timeout_secs,
        write_timeout=settings.write_timeout_secs,
        read_timeout=settings.read_timeout_secs,
        connections=settings.max_in_flight,
    )
    try:
        yield Client(
            endpoint=endpoint,
            transport=transport,
            rate_limiter=RateLimiter(requests_per_minute=settings.requests_per_minute, timing=timing),
            retry=_retry(settings),
            timing=timing,
            count=count,
        )
    finally:
        transport.close()


def _retry(settings: ConnectionSettings) -> Retry:
    return Retry(
        count=settings.retry_count,
        initial_wait=settings.retry_initial_wait_millis / 1000,
        longest_wait=settings.max_retry_wait_millis / 1000,
        random=random.random,
    )


def open_token_store(task: Task, settings: ConnectionSettings, timing: Timing) -> TokenStore:
    """Where a new refresh token of a task goes."""
    project_id = str(task.params.get("project_id"))
    return TokenStore(
        secret_name=settings.refresh_token_secret,
        current=settings.refresh_token,
        project_id=int(project_id) if project_id.isdecimal() else None,
        environ=task.environ,
        retry=_retry(settings),
        timing=timing,
    )
