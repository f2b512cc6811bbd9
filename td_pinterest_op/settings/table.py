"""The tables of settings: every key of `result_settings`, its type, its default, and the actions that use or need it.

There is a table for each door that takes `result_settings`. Tests compare README's tables with that of an export.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.settings.structures import AD_ACCOUNT_IDS, AUDIENCE_IDS, COLUMNS, CONTROL, STATUS_SET
from td_pinterest_op.settings.types import (
    AD_ACCOUNT_ID,
    AUDIENCE_ID,
    BOOLEAN,
    COUNTRY,
    CREDENTIAL,
    NUMERIC_CREDENTIAL,
    PAGE,
    RATIO,
    TABLE,
    TEXT,
    SettingType,
    TableName,
    choice,
    whole_number,
)


class IfExists(str, enum.Enum):
    """What CREATE does if an audience of that name exists."""

    FAIL = "fail"
    ADD = "add"
    REPLACE = "replace"


class Begin(str, enum.Enum):
    """What the first run of a mirror does with the people in the audience: takes them out, or leaves them in."""

    REPLACE = "replace"
    ADOPT = "adopt"


class ExpectedValues(str, enum.Enum):
    """What the valid values of a result are expected to be: identifiers in plain text, or their digests."""

    ANY = "any"
    PLAIN = "plain"
    HASHED = "hashed"


class HashIn(str, enum.Enum):
    """Where identifiers are normalised, judged and hashed."""

    OPERATOR = "operator"
    WAREHOUSE = "warehouse"


class RecordsFormat(str, enum.Enum):
    """What a record is: one identifier, or a row of the query with all its keys."""

    IDENTIFIERS = "identifiers"
    ROWS = "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: a row of the table in README.

    `restricts`: a value other than `harmless` (by default the default) keeps people from being sent, or stops a run.
    `limits_rows`: it does so by counting rows or records.
    """

    name: str
    type: SettingType
    default: Any = None
    alias: str | None = None
    is_needed: bool = False
    scope: Scope = Scope.EVERY_ACTION
    is_credential: bool = False
    restricts: bool = False
    limits_rows: bool = False
    harmless: Any = None

    def is_used_by(self, action: ActionSpec) -> bool:
        """Whether it makes a difference to an action."""
        named = {*action.needs, *action.uses, action.audience_id}
        return self.scope is Scope.EVERY_ACTION or self.scope in action.scopes or self.name in named

    def restricts_by(self, value: object) -> bool:
        """Whether a value keeps people from being sent, or may stop a run."""
        harmless = self.default if self.harmless is None else self.harmless
        return self.restricts and value not in (None, harmless)

    def may_be_unused_by(self, action: ActionSpec) -> bool:
        """Whether an action that does not use it may ignore it: there is nothing that it could restrict."""
        return self.limits_rows and not action.reads_rows

    @property
    def secret(self) -> str:
        """The workflow's secret from which a credential comes that is left out."""
        return f"pinterest.{self.name}"

    @property
    def variable(self) -> str:
        """The variable under which a task gets that secret."""
        return f"PINTEREST_{self.name.upper()}"

    @property
    def default_text(self) -> str:
        """The default as README writes it; "–" for none."""
        if self.is_credential:
            return "from the environment"
        if isinstance(self.default, ActionSpec):
            return self.default.name
        if isinstance(self.default, TableName):
            return self.default.table
        if isinstance(self.default, enum.Enum):
            return str(self.default.value)
        return "–" if self.default is None or self.default == {} else str(self.default).lower()


@dataclass(frozen=True, kw_only=True)
class Table:
    """The settings of one door.

    `ordered`: pairs of settings of which the first may not be greater than the second; a setting that is left out
    counts with its default. `several`: the setting for the ids of which one at least is needed, and the one for a
    single id. `retired`: what to do in place of a setting of an earlier version. `example`: the shortest
    `result_settings` that work, for the message about missing ones. `actions`: those that the setting `action` names,
    if there is one.
    """

    settings: tuple[Setting, ...]
    ordered: tuple[tuple[str, str], ...]
    example: str
    several: tuple[str, str] | None = None
    retired: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[ActionSpec, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Setting]:
        """Settings by name and by alias, in the order of the table."""
        return {name: key for key in self.settings for name in (key.name, key.alias) if name}


def _words(values: type[enum.Enum]) -> SettingType:
    return choice({str(value.value): value for value in values})


_SECONDS = whole_number(1, 86_400)
# Pinterest's standard tier allows 400 writes a minute, for a user and an app.
REQUESTS_PER_MINUTE = 390
MAX_IN_FLIGHT = 8
_RECORDS_LIMIT = 1_000_000_000_000

_credential = partial(Setting, type=CREDENTIAL, is_needed=True, is_credential=True)
_of_rows = partial(Setting, scope=Scope.ROWS)
_of_people = partial(Setting, scope=Scope.PEOPLE)
_of_new_audience = partial(Setting, scope=Scope.NEW_AUDIENCE)
_of_old_audience = partial(Setting, scope=Scope.OLD_AUDIENCE)
_of_new_list = partial(Setting, scope=Scope.NEW_LIST, type=BOOLEAN, default=False)
_of_those_that_name_it = partial(Setting, scope=Scope.NAMED)
_limit = partial(Setting, scope=Scope.ROWS, restricts=True, limits_rows=True)

_TYPE = Setting(name="type", type=choice({"pinterest": "pinterest"}), is_needed=True)
CREDENTIALS = (
    _credential(name="client_id", type=NUMERIC_CREDENTIAL),
    _credential(name="client_secret"),
    _credential(name="refresh_token"),
)
_AD_ACCOUNT = Setting(name="ad_account_id", type=AD_ACCOUNT_ID, is_needed=True)
_BATCH_SIZE = _of_rows(name="limit_records_per_request", type=whole_number(1, 100_000), default=10_000)
_SKIP_INVALID = _of_rows(name="ignore_invalid_records", alias="ignore_error", type=BOOLEAN, default=False)
_RETRIES_AND_TIMEOUTS = (
    Setting(name="retry_count", type=whole_number(0, 100), default=7),
    Setting(name="retry_initial_wait_millis", type=whole_number(0, 3_600_000), default=500),
    Setting(name="max_retry_wait_millis", type=whole_number(0, 86_400_000), default=300_000),
    Setting(name="connection_timeout_secs", type=_SECONDS, default=180),
    Setting(name="write_timeout_secs", type=_SECONDS, default=60),
    Setting(name="read_timeout_secs", type=_SECONDS, default=180),
)
_DRY_RUN = Setting(name="dry_run", type=BOOLEAN, default=False, restricts=True)
_RATE = Setting(name="requests_per_minute", type=whole_number(1, 100_000), default=REQUESTS_PER_MINUTE)
_IN_FLIGHT = _of_rows(name="max_in_flight", type=whole_number(1, 64), default=MAX_IN_FLIGHT)
_HISTORY = Setting(name="history", type=TABLE)
_COLUMNS = _of_rows(name="columns", type=COLUMNS, default={})

_WAITS = ("retry_initial_wait_millis", "max_retry_wait_millis")


_WHATEVER_THE_ACTIONS_ARE = (
    _of_new_audience(name="audience_name", type=TEXT),
    _of_new_audience(name="audience_description", type=TEXT),
    _BATCH_SIZE,
    _SKIP_INVALID,
    *_RETRIES_AND_TIMEOUTS,
    _of_old_audience(name="audience_id", type=AUDIENCE_ID),
    _DRY_RUN,
    _of_rows(name="allow_empty", type=BOOLEAN, default=False),
    _limit(name="max_invalid_ratio", type=RATIO, default=1.0),
    _limit(name="min_records", type=whole_number(0, _RECORDS_LIMIT)),
    _limit(name="max_records", type=whole_number(1, _RECORDS_LIMIT)),
    _RATE,
    _IN_FLIGHT,
    _of_those_that_name_it(name="if_exists", type=_words(IfExists), default=IfExists.FAIL),
    _of_new_list(name="replace_newer"),
    Setting(name="expected_audience_name", type=TEXT, restricts=True),
    _COLUMNS,
    Setting(name="report", type=PAGE),
    _HISTORY,
    _of_rows(name="records", type=_words(RecordsFormat), default=RecordsFormat.IDENTIFIERS),
    _of_rows(name="hash_in", type=_words(HashIn), default=HashIn.OPERATOR),
    _of_rows(name="default_country", type=COUNTRY),
    _of_new_list(name="is_nca"),
    _of_those_that_name_it(name="seed_audience_id", type=AUDIENCE_ID),
    _of_those_that_name_it(name="country", type=choice({code: code for code in ("US", "CA", "GB")})),
    _of_those_that_name_it(name="percentage", type=whole_number(1, 10)),
    _of_rows(name="expect_values", type=_words(ExpectedValues), default=ExpectedValues.ANY, restricts=True),
    _of_people(name="allow_empty_suppress", type=BOOLEAN, default=False),
    _of_people(name="control", type=CONTROL, restricts=True),
    _of_those_that_name_it(name="even_if_used", type=BOOLEAN, default=False),
    _of_those_that_name_it(name="ledger", type=TABLE, default=TableName(None, "pinterest_ledger")),
    _of_those_that_name_it(name="begin", type=_words(Begin)),
    _of_those_that_name_it(name="rebuild", type=BOOLEAN, default=False),
    _of_those_that_name_it(name="max_leave_ratio", type=RATIO, default=0.2, restricts=True, harmless=1.0),
    _of_those_that_name_it(name="resend_days", type=whole_number(0, 3650), default=30),
)


def export_table(actions: Sequence[ActionSpec], *, default: ActionSpec) -> Table:
    """The settings of an export, which does one of `actions`."""
    action = choice(
        {action.name: action for action in actions},
        aliases={alias: action for action in actions for alias in action.aliases},
    )
    ids = [action.audience_id for action in actions if action.audience_id not in (None, "audience_id")]
    settings = (
        _TYPE,
        *CREDENTIALS,
        _AD_ACCOUNT,
        Setting(name="audience_type", type=choice({"customer_list": "customer_list"}), is_needed=True),
        Setting(name="action", type=action, default=default),
        *(_of_those_that_name_it(name=name, type=AUDIENCE_ID) for name in ids),
        *_WHATEVER_THE_ACTIONS_ARE,
    )
    return Table(
        settings=settings,
        ordered=(_WAITS, ("min_records", "max_records")),
        example="""
    result_settings:
      type: pinterest
      ad_account_id: "549755885175"
      audience_type: customer_list
      action: add_people_to_current_audience
      audience_id_add_people: "2542620905475"
""",
        actions=tuple(actions),
    )


_TYPE_IF_GIVEN = Setting(name="type", type=_TYPE.type)
_AD_ACCOUNT_IF_GIVEN = Setting(name="ad_account_id", type=AD_ACCOUNT_ID)

_READS_HISTORY = "take it out, and name the history's table as history: the operator reads it itself"

STATUS = Table(
    settings=(
        _TYPE_IF_GIVEN,
        *CREDENTIALS,
        _AD_ACCOUNT,
        Setting(name="audience_ids", type=AUDIENCE_IDS),
        Setting(name="audience_id", type=AUDIENCE_ID),
        Setting(name="min_size", type=whole_number(0, _RECORDS_LIMIT)),
        Setting(name="max_drop_ratio", type=RATIO),
        Setting(name="fail_on", type=STATUS_SET, default=frozenset({"TOO_SMALL", "REMOVED"})),
        _HISTORY,
        *_RETRIES_AND_TIMEOUTS,
    ),
    ordered=(_WAITS,),
    retired=dict.fromkeys(("previous_sizes", "filled_lists", "mirrored_lists"), _READS_HISTORY),
    several=("audience_ids", "audience_id"),
    example="""
    result_settings:
      ad_account_id: "549755885175"
      audience_ids: ["2542620905475"]
""",
)

ERASURE = Table(
    settings=(
        _TYPE_IF_GIVEN,
        *CREDENTIALS,
        Setting(name="ad_account_ids", type=AD_ACCOUNT_IDS),
        _AD_ACCOUNT_IF_GIVEN,
        _BATCH_SIZE,
        _SKIP_INVALID,
        *_RETRIES_AND_TIMEOUTS,
        _DRY_RUN,
        _RATE,
        _IN_FLIGHT,
        _COLUMNS,
        _HISTORY,
    ),
    ordered=(_WAITS,),
    several=("ad_account_ids", "ad_account_id"),
    example="""
    result_settings:
      ad_account_ids: ["549755885175"]
""",
)

CONNECTION = Table(
    settings=(_TYPE_IF_GIVEN, *CREDENTIALS, _AD_ACCOUNT_IF_GIVEN, *_RETRIES_AND_TIMEOUTS),
    ordered=(_WAITS,),
    example="""
    result_settings: {}
""",
)
