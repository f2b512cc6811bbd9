"""The two services of a task, built once from its settings. Nothing is contacted before the first call."""

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
from td_pinterest_op.pinterest.client import Client, OnResponse
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
    """The URLs of the two services. Secrets may be sent to both."""

    treasure_data: str
    pinterest: str


def read_endpoints(environ: Mapping[str, str]) -> Endpoints:
    """Return the endpoints in the environment. Raises SettingsError for one to which secrets must not be sent."""
    values = {name: environ.get(name, "").strip() or default for name, default in _DEFAULTS.items()}
    urls = {name: url if "://" in url else f"https://{url}" for name, url in values.items()}
    unsafe = [name for name, url in urls.items() if not is_safe(url)]
    if unsafe:
        raise SettingsError(f"{' and '.join(unsafe)} must be https (http is allowed only for this machine)")
    return Endpoints(*urls.values())


@dataclass(frozen=True, kw_only=True)
class Services:
    """The connections to both services in a run: one client, one token and one rate limit for all ad accounts."""

    task: Task
    endpoints: Endpoints
    client: Client
    tokens: Tokens
    ad_account_id: str
    timing: Timing

    @property
    def pinterest(self) -> Api:
        """Pinterest's API for the ad account of the settings."""
        return self.pinterest_for(self.ad_account_id)

    def pinterest_for(self, ad_account_id: str) -> Api:
        """Return Pinterest's API for any ad account that the token may use."""
        return Api(client=self.client, tokens=self.tokens, ad_account_id=ad_account_id)

    @cached_property
    def treasure_data(self) -> TreasureData:
        """Treasure Data's API. Raises SettingsError without an API key."""
        return TreasureData(
            api_key=self.task.td_api_key,
            endpoint=self.endpoints.treasure_data,
            transport=self.client.transport,
            retry=self.client.retry,
            timing=self.timing,
        )


@contextlib.contextmanager
def connect(
    task: Task,
    settings: ConnectionSettings,
    *,
    timing: Timing,
    endpoints: Endpoints | None = None,
    count: RequestCounts | None = None,
    on_new_refresh_token: OnNewRefreshToken | None = None,
    on_response: OnResponse | None = None,
    scopes: Sequence[str] = (),
) -> Iterator[Services]:
    """Connect both services until the end of the block.

    `endpoints`: those of the task's environment, if they have been read. `count` gets the requests that write to
    Pinterest. Each refresh token that Pinterest issues goes to `on_new_refresh_token` (see `Tokens`); without it, to
    where the task's own token came from. A token that lacks one of the `scopes` is an AccountError before any other
    request.

    Raises SettingsError for an endpoint that secrets must not be sent to.
    """
    endpoints = endpoints or read_endpoints(task.environ)
    store = open_token_store(task, settings, timing)
    opened = open_client(settings, endpoint=endpoints.pinterest, timing=timing, count=count, on_response=on_response)
    with opened as client:
        tokens = Tokens(
            client=client,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            refresh_token=settings.refresh_token,
            on_new_refresh_token=on_new_refresh_token or store.save,
            read_stored_token=store.read,
            scopes=scopes,
            timing=timing,
        )
        account = settings.ad_account_id
        yield Services(
            task=task, endpoints=endpoints, client=client, tokens=tokens, ad_account_id=account, timing=timing
        )


@contextlib.contextmanager
def open_client(
    settings: ConnectionSettings,
    *,
    endpoint: str,
    timing: Timing,
    count: RequestCounts | None = None,
    on_response: OnResponse | None = None,
) -> Iterator[Client]:
    """Open a client for Pinterest until the end of the block."""
    transport = Transport(
        connect_timeout=settings.connection_timeout_secs,
        write_timeout=settings.write_timeout_secs,
        read_timeout=settings.read_timeout_secs,
        connections=settings.max_in_flight,
    )
    with contextlib.closing(transport):
        yield Client(
            endpoint=endpoint,
            transport=transport,
            rate_limiter=RateLimiter(requests_per_minute=settings.requests_per_minute, timing=timing),
            retry=_build_retry(settings),
            timing=timing,
            count=count,
            on_response=on_response,
        )


def open_token_store(task: Task, settings: ConnectionSettings, timing: Timing) -> TokenStore:
    """Return the store for new refresh tokens of a task."""
    project_id = str(task.params.get("project_id"))
    return TokenStore(
        secret_name=settings.refresh_token_secret,
        current=settings.refresh_token,
        project_id=int(project_id) if project_id.isdecimal() else None,
        environ=task.environ,
        retry=_build_retry(settings),
        timing=timing,
    )


def _build_retry(settings: ConnectionSettings) -> Retry:
    """Return the retries and waits that the settings describe."""
    return Retry(
        count=settings.retry_count,
        initial_wait=settings.retry_initial_wait_millis / 1000,
        longest_wait=settings.max_retry_wait_millis / 1000,
        random=random.random,
    )
