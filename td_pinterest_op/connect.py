"""Settings and environment → connections to the two services; nothing is contacted yet."""

from __future__ import annotations

import contextlib
import random

from td_pinterest_op import pinterest as pinterest_
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.transport import Timeouts, is_safe
from td_pinterest_op.retry import Retry
from td_pinterest_op.settings.parse import Settings
from td_pinterest_op.stats import Stats
from td_pinterest_op.timing import Timing
from td_pinterest_op.treasure_data.api import DEFAULT_ENDPOINT, TreasureData
from td_pinterest_op.workflow.task import Task
from td_pinterest_op.workflow.token_store import TokenStore

# Where the official clients look for them, and the defaults.
_ENDPOINTS = {"TD_API_SERVER": DEFAULT_ENDPOINT, "PINTEREST_API_ENDPOINT": pinterest_.DEFAULT_ENDPOINT}


def retry(settings: Settings) -> Retry:
    return Retry(
        count=settings.retry_count,
        initial_wait=settings.retry_initial_wait_millis / 1000,
        longest_wait=settings.max_retry_wait_millis / 1000,
        random=random.random,
    )


def treasure_data(task: Task, settings: Settings, timing: Timing) -> TreasureData:
    """Raises SettingsError for a missing key. The endpoint must have been checked."""
    return TreasureData(
        api_key=task.td_api_key,
        endpoint=_endpoint(task, "TD_API_SERVER"),
        connect_timeout=settings.connection_timeout_secs,
        read_timeout=settings.read_timeout_secs,
        retry=retry(settings),
        sleep=timing.sleep,
        wall_clock=timing.wall,
    )


def pinterest(task: Task, settings: Settings, stats: Stats, timing: Timing) -> contextlib.AbstractContextManager[Api]:
    """The endpoint must have been checked."""
    project_id = str(task.params.get("project_id"))
    tokens = TokenStore(
        key=settings.refresh_token_secret,
        current=settings.refresh_token,
        project_id=int(project_id) if project_id.isdecimal() else None,
        environ=task.environ,
        retry=retry(settings),
        sleep=timing.sleep,
        wall_clock=timing.wall,
    )
    return pinterest_.connected(
        endpoint=_endpoint(task, "PINTEREST_API_ENDPOINT"),
        ad_account_id=settings.ad_account_id,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        refresh_token=settings.refresh_token,
        keep=tokens.keep,
        timeouts=Timeouts(
            connect=settings.connection_timeout_secs,
            write=settings.write_timeout_secs,
            read=settings.read_timeout_secs,
        ),
        connections=settings.max_in_flight,
        requests_per_minute=settings.requests_per_minute,
        retry=retry(settings),
        count=stats.count,
        clock=timing.monotonic,
        wall_clock=timing.wall,
        sleep=timing.sleep,
    )


def check_endpoints(task: Task) -> None:
    """Raises SettingsError for endpoints that secrets must not be sent to."""
    wrong = [name for name in _ENDPOINTS if not is_safe(_endpoint(task, name))]
    if wrong:
        raise SettingsError(f"{' and '.join(wrong)} must be https (plain http only to this machine's loop-back)")


def _endpoint(task: Task, name: str) -> str:
    endpoint = task.environ.get(name, "").strip() or _ENDPOINTS[name]
    return endpoint if "://" in endpoint else f"https://{endpoint}"
