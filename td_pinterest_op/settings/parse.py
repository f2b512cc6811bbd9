"""`result_settings` of a task → one frozen, typed value for each door, or one error that names every problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.settings.action import ActionSpec
from td_pinterest_op.settings.given import Notice, Reading, read
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.settings.table import (
    CONNECTION,
    ERASURE,
    MAX_IN_FLIGHT,
    REQUESTS_PER_MINUTE,
    STATUS,
    Begin,
    ExpectedValues,
    HashIn,
    IfExists,
    RecordsFormat,
    Table,
)
from td_pinterest_op.settings.types import TableName


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """The settings that the connections to both services need."""

    client_id: Secret
    client_secret: Secret
    refresh_token: Secret
    refresh_token_secret: str | None  # the workflow secret that it came from; None if it was given in plain text
    ad_account_id: str  # of several: the first
    retry_count: int
    retry_initial_wait_millis: int
    max_retry_wait_millis: int
    connection_timeout_secs: int
    write_timeout_secs: int
    read_timeout_secs: int
    warnings: tuple[Notice, ...]
    requests_per_minute: int = REQUESTS_PER_MINUTE
    max_in_flight: int = MAX_IN_FLIGHT
    history: TableName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingSettings(ConnectionSettings):
    """The settings of whoever reads people and sends them."""

    limit_records_per_request: int
    ignore_invalid_records: bool
    dry_run: bool
    columns: Mapping[str, str]  # name in the query, lower case → the name of a type; empty: those are the names

    @property
    def records_per_second(self) -> float:
        """The most that leave, in full batches."""
        return self.requests_per_minute * self.limit_records_per_request / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(SendingSettings):
    """The settings of one export. A setting that the action does not use has its default, whatever was given."""

    action: ActionSpec
    audience_id: str | None  # the one that the action needs; None if it creates one
    audience_name: str | None  # None unless the action creates one
    audience_description: str | None
    allow_empty: bool
    max_invalid_ratio: float  # 0 to 1
    min_records: int | None
    max_records: int | None
    if_exists: IfExists
    replace_newer: bool
    expected_audience_name: str | None
    report: str | None  # path of the page to write
    records: RecordsFormat
    hash_in: HashIn
    default_country: str | None  # ISO 3166 alpha-2, in upper case
    is_nca: bool
    seed_audience_id: str | None  # this and the next two: None for all but look-alikes
    country: str | None  # US, CA or GB
    percentage: int | None  # 1 to 10
    expect_values: ExpectedValues
    allow_empty_suppress: bool
    control: Control | None
    even_if_used: bool
    ledger: TableName  # of a mirror; this and the next four: their defaults for other actions
    begin: Begin | None
    rebuild: bool
    max_leave_ratio: float  # 0 to 1
    resend_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSettings(ConnectionSettings):
    """The settings of one look at audiences."""

    audience_ids: tuple[str, ...]  # one at least, each once
    min_size: int | None
    max_drop_ratio: float | None  # 0 to 1
    fail_on: frozenset[str]  # statuses, in upper case


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureSettings(SendingSettings):
    """The settings of one erasure."""

    ad_account_ids: tuple[str, ...]  # one at least, each once


_C = TypeVar("_C", bound=ConnectionSettings)


def parse(raw: object, *, table: Table, environ: Mapping[str, str]) -> Settings:
    """The settings of an export.

    Args:
        raw: `result_settings` as digdag passes it: a mapping, or JSON or YAML text of one.
        table: the settings that there are, and the actions.
        environ: where credentials that are left out, and `${secret:…}` in any setting, are looked up.

    Raises:
        SettingsError: with every problem, a line each. It holds no credential, given or looked up.
    """
    reading = _read(raw, table=table, environ=environ)
    action: ActionSpec = reading.values["action"].value
    names = {each.name for each in fields(Settings)}
    unused = {key.name: key.default for key in table.settings if key.name in names and not key.is_used_by(action)}
    least = {"min_records": _least_records(action, reading)}
    return _built(Settings, reading, **{**unused, **least, "audience_id": _audience_id(action, reading)})


def parse_status(raw: object, *, environ: Mapping[str, str]) -> StatusSettings:
    """The settings of `AudienceStatus`. Arguments and errors: see `parse`."""
    reading = _read(raw, table=STATUS, environ=environ)
    return _built(StatusSettings, reading, audience_ids=_ids(reading))


def parse_erasure(raw: object, *, environ: Mapping[str, str]) -> ErasureSettings:
    """The settings of `PinterestErase`. Arguments and errors: see `parse`."""
    reading = _read(raw, table=ERASURE, environ=environ)
    ids = _ids(reading)
    return _built(ErasureSettings, reading, ad_account_ids=ids, ad_account_id=ids[0])


def parse_connection(raw: object, *, environ: Mapping[str, str]) -> ConnectionSettings:
    """The connection keys alone, for a door that has no settings of its own. Arguments and errors: see `parse`.

    Without `ad_account_id` that of the result is empty.
    """
    reading = _read(raw, table=CONNECTION, environ=environ)
    return _built(ConnectionSettings, reading, ad_account_id=reading.values["ad_account_id"].value or "")


def action_of(raw: object, *, table: Table) -> ActionSpec | None:
    """The action that `result_settings` name, whatever else is wrong with them; None if that is not clear."""
    try:
        return read(raw, table=table, environ={}).action
    except SettingsError:
        return None


def _read(raw: object, *, table: Table, environ: Mapping[str, str]) -> Reading:
    reading = read(raw, table=table, environ=environ)
    if reading.problems:
        raise reading.error()
    return reading


def _audience_id(action: ActionSpec, reading: Reading) -> str | None:
    own = reading.values[action.audience_id or "audience_id"]
    value: str | None = own.value if own.given else reading.values["audience_id"].value
    return value if action.audience_id else None


def _least_records(action: ActionSpec, reading: Reading) -> int | None:
    least, most = reading.values["min_records"], reading.values["max_records"].value
    default = action.least_records
    if least.given or default is None:
        return least.value if action.reads_rows else None
    return default if most is None else min(default, most)


def _ids(reading: Reading) -> tuple[str, ...]:
    many, single = (reading.values[name] for name in reading.table.several or ())
    return many.value if many.given else (single.value,)


def _built(kind: type[_C], reading: Reading, **others: Any) -> _C:
    """A value of `kind` from what was read; `others` win."""
    wanted = {each.name for each in fields(kind)}
    keys = {name: key for name, key in reading.table.by_name.items() if name in wanted}
    values: dict[str, Any] = {name: reading.values[name].value for name in keys}
    values |= {name: Secret(values[name]) for name, key in keys.items() if key.is_credential}
    values |= {"refresh_token_secret": reading.values["refresh_token"].secret, "warnings": reading.notices()}
    return kind(**{**values, **others})
