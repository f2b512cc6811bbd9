"""Credentials and options of a command → the two services."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from td_pinterest_op import connect
from td_pinterest_op.cli import env_file as named_file
from td_pinterest_op.cli import screen, text_file
from td_pinterest_op.cli.credentials import LOCAL, PINTEREST_SECRETS, Credentials
from td_pinterest_op.connect import Services
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.retry import Retry
from td_pinterest_op.secret import Secret
from td_pinterest_op.settings.parse import ConnectionSettings, parse_connection
from td_pinterest_op.stats import RequestCounts
from td_pinterest_op.timing import SYSTEM, Timing
from td_pinterest_op.transport import Transport
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.workflow.task import Task

# Somebody waits at the terminal: fewer and shorter tries than in a task. Seconds and milliseconds, as in the settings.
_PATIENCE = {"retry_count": 3, "max_retry_wait_millis": 10_000, "connection_timeout_secs": 20, "read_timeout_secs": 60}
# `digdag run` gives this id to its project: a new refresh token is looked for in the local secrets.
_LOCAL_PROJECT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The services, and what a command needs to know beside them."""

    services: Services
    credentials: Credentials
    quiet: bool


@contextlib.contextmanager
def connecting(
    env_file: Path | None, *, quiet: bool = False, count: RequestCounts | None = None, timing: Timing = SYSTEM
) -> Iterator[Connection]:
    """Both services, until the end of the block; `count` gets the requests that write to Pinterest.

    Raises SettingsError for credentials that are nowhere.
    """
    credentials = Credentials.find(env_file)
    check_complete(credentials, *PINTEREST_SECRETS)
    if not quiet:
        screen.note(f"Credentials: {credentials.described()}")
    with services_of(credentials, count=count, timing=timing) as services:
        yield Connection(services=services, credentials=credentials, quiet=quiet)


def services_of(
    credentials: Credentials, *, count: RequestCounts | None = None, timing: Timing = SYSTEM
) -> contextlib.AbstractContextManager[Services]:
    """Both services, with credentials that are complete; `count` as for `connecting`."""
    settings = settings_of(credentials)
    return connect.services(
        task_of(credentials),
        settings,
        timing=timing,
        count=count,
        on_new_refresh_token=keeper(credentials, settings),
    )


@contextlib.contextmanager
def treasure_data(credentials: Credentials) -> Iterator[TreasureData]:
    """Treasure Data's calls alone, until the end of the block. Raises SettingsError without a key."""
    check_complete(credentials, "TD_API_KEY")
    transport = Transport(
        connect_timeout=_PATIENCE["connection_timeout_secs"],
        write_timeout=_PATIENCE["read_timeout_secs"],
        read_timeout=_PATIENCE["read_timeout_secs"],
        connections=1,
    )
    with contextlib.closing(transport):
        yield TreasureData(
            api_key=task_of(credentials).td_api_key,
            endpoint=connect.endpoints(credentials.environ).treasure_data,
            transport=transport,
            retry=Retry(
                count=_PATIENCE["retry_count"],
                initial_wait=0.5,
                longest_wait=_PATIENCE["max_retry_wait_millis"] / 1000,
                random=random.random,
            ),
            timing=SYSTEM,
        )


def check_complete(credentials: Credentials, *variables: str) -> None:
    """Raises SettingsError that names those of the variables that were found nowhere."""
    missing = [name for name in variables if name in credentials.missing]
    if missing:
        file = f"the file {credentials.env_file}" if credentials.env_file else "a file (--env-file names one)"
        advice = (
            "store Treasure Data's key with `digdag secrets --local --set td.apikey`"
            if missing == ["TD_API_KEY"]
            else "`td-pinterest authorize` gets and stores them"
        )
        raise SettingsError(
            f"{', '.join(missing)} found nowhere: neither in the environment, nor in {LOCAL}, nor in "
            f"{file}. {advice[0].upper()}{advice[1:]}"
        )


def settings_of(credentials: Credentials) -> ConnectionSettings:
    """The settings of the connections, with the patience of somebody at a terminal."""
    return parse_connection({"type": "pinterest", **_PATIENCE}, environ=credentials.environ)


def task_of(credentials: Credentials, *, session: str | None = None, **params: object) -> Task:
    """What stands for a workflow's task."""
    return Task(params={"project_id": _LOCAL_PROJECT, **params}, environ=credentials.environ, session=session)


def keeper(credentials: Credentials, settings: ConnectionSettings) -> connect.OnNewRefreshToken:
    """Keeps a new refresh token where the old one was found."""
    store = connect.token_store(task_of(credentials), settings, SYSTEM)
    variable = "PINTEREST_REFRESH_TOKEN"
    path = credentials.env_file
    if path is None or credentials.sources.get(variable) != f"the file {path}":
        return store.save

    def save(issued: Secret | None, seconds: float | None) -> None:
        if issued is None:
            store.save(issued, seconds)
            return
        try:
            named_file.set_values(path, {variable: issued.reveal()})
        except (OSError, UnicodeDecodeError, SettingsError) as error:
            # The run goes on, as with a workflow's secret that cannot be saved.
            why = str(error) if isinstance(error, SettingsError) else text_file.why(error)
            screen.note(
                f"Pinterest issued a new refresh token, which could not be kept in {path} ({why}): "
                "run `td-pinterest authorize` before the old one ends, or at once if Pinterest has withdrawn it"
            )
            return
        screen.note(f"Pinterest issued a new refresh token; it is kept in {path}")

    return save


def ad_account_of(connection: Connection, given: str | None) -> str:
    """The ad account that was named, else the one in the environment, else the only one there is."""
    named = given or connection.credentials.environ.get("PINTEREST_AD_ACCOUNT_ID")
    if named:
        return checked_id(named, "--ad-account")
    accounts = list(connection.services.catalog.ad_accounts())
    if len(accounts) == 1:
        if not connection.quiet:
            screen.note(f"Ad account: {accounts[0].label}, the only one")
        return accounts[0].id
    if not accounts:
        raise SettingsError(
            "the Pinterest user has no ad account: make one in Pinterest's Ads Manager, or have access to one granted"
        )
    listed = ", ".join(account.label for account in accounts[:10])
    raise click.UsageError(f"which ad account? Name one with --ad-account or PINTEREST_AD_ACCOUNT_ID: {listed}")


def checked_id(text: str, option: str) -> str:
    """An id from the command line. Raises click.UsageError for what is none."""
    if not (text.isascii() and text.strip().isdecimal()):
        raise click.UsageError(
            f"{option} must be the digits of an id; `td-pinterest accounts` and `audiences` list them"
        )
    return text.strip()
