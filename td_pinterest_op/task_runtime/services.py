"""Connections to Treasure Data and Pinterest, built from a task's settings."""

# To add a pace, or another setting of all requests:
# 1. Declare it as settings/table.py says, in `ConnectionSettings`, a pace also in `_PACE_SETTING_NAMES`.
# 2. Hand it below to what obeys it, and test it there (tests/unit/http, tests/unit/pinterest): http/transport.py,
#    http/retry.py, pinterest/client.py (which says which requests count) or pinterest/rate_limit.py (for a pace).
# 3. The time that a pace takes is in the plan (audiences/plan.py), in the progress (audiences/sender.py), and in the
#    pages that name `requests_per_minute`.
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from td_pinterest_op.http.retry import RetrySchedule
from td_pinterest_op.http.transport import Transport
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.oauth import RenewableTokens
from td_pinterest_op.pinterest.rate_limit import RateLimiter
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.settings.table import ConnectionSettings
from td_pinterest_op.stats import RequestCounts, Stats
from td_pinterest_op.task_runtime.digdag_secrets import RefreshTokenStore
from td_pinterest_op.task_runtime.task import Task, parse_api_key, parse_endpoints
from td_pinterest_op.treasure_data.td_api import TreasureData

OnNewRefreshToken = Callable[[Secret | None, float | None], None]


@dataclass(frozen=True, kw_only=True)
class Services:
    """The connections of a run, with one token and rate limit for all ad accounts."""

    task: Task
    client: Client
    tokens: RenewableTokens
    ad_account_id: str  # the one in the settings, or ""
    timing: Timing

    @property
    def pinterest(self) -> Api:
        """Pinterest's API for the ad account in the settings."""
        return self.build_pinterest_api(self.ad_account_id)

    def build_pinterest_api(self, ad_account_id: str) -> Api:
        """Return Pinterest's API for an ad account."""
        return Api(client=self.client, tokens=self.tokens, ad_account_id=ad_account_id)

    def for_another_run(self, task: Task, stats: Stats) -> "Services":
        """Return services for another run. Only the stop after a failure, and the counts of requests, are its own."""
        client = replace(
            self.client, counts=stats.requests, rate_limiter=self.client.rate_limiter.copy_with_shared_limits()
        )
        return replace(self, task=task, client=client, ad_account_id=stats.ad_account_id)

    @cached_property
    def treasure_data(self) -> TreasureData:
        """Treasure Data's API. Raises SettingsError if the task has no API key."""
        client = self.client
        return build_treasure_data_api(self.task, transport=client.transport, retry=client.retry, timing=self.timing)


@contextlib.contextmanager
def connect_services(
    task: Task,
    settings: ConnectionSettings,
    *,
    timing: Timing,
    counts: RequestCounts | None = None,
    on_new_refresh_token: OnNewRefreshToken | None = None,
    needs_scopes: bool = False,
    concurrent_runs: int = 1,
) -> Iterator[Services]:
    """Yield connections that last until the end of the block.

    `counts`: counts the requests that write to Pinterest. `on_new_refresh_token`: see `RenewableTokens`; by default it
    stores the token where the task's own came from. `concurrent_runs`: how many runs share the connections. Raises
    SettingsError for an endpoint that is unsafe for secrets. The first request to Pinterest raises AccountError if
    the run `needs_scopes` (REQUIRED_SCOPES) and the token lacks one.
    """
    store = RefreshTokenStore(task=task, settings=settings, timing=timing)
    transport = Transport(
        connect_timeout=settings.connection_timeout_secs,
        write_timeout=settings.write_timeout_secs,
        read_timeout=settings.read_timeout_secs,
        connections=max(settings.max_in_flight, concurrent_runs),
    )
    with contextlib.closing(transport):
        client = Client(
            endpoint=parse_endpoints(task.environ).pinterest,
            transport=transport,
            rate_limiter=RateLimiter(
                requests_per_minute=settings.requests_per_minute, max_in_flight=settings.max_in_flight, timing=timing
            ),
            retry=RetrySchedule(
                count=settings.retry_count,
                initial_wait=settings.retry_initial_wait_millis / 1000,
                longest_wait=settings.max_retry_wait_millis / 1000,
            ),
            timing=timing,
            counts=counts or RequestCounts(),
        )
        tokens = RenewableTokens(
            client=client,
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            refresh_token=settings.refresh_token,
            on_new_refresh_token=on_new_refresh_token or store.save_token_or_warn_of_expiry,
            read_stored_refresh_token=store.read_stored_refresh_token,
            needs_scopes=needs_scopes,
        )
        yield Services(task=task, client=client, tokens=tokens, ad_account_id=settings.ad_account_id, timing=timing)


def build_treasure_data_api(task: Task, *, transport: Transport, retry: RetrySchedule, timing: Timing) -> TreasureData:
    """Return Treasure Data's API for a task. Raises SettingsError if the task has no API key."""
    return TreasureData(
        api_key=parse_api_key(task.environ),
        endpoint=parse_endpoints(task.environ).treasure_data,
        transport=transport,
        retry=retry,
        timing=timing,
    )
