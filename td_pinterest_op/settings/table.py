"""The tables of settings: every key of `result_settings`, its type, its default, and the actions that use or need it.

There is a table for each door that takes `result_settings`. Tests compare README's tables with `SETTINGS`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

from td_pinterest_op.settings.control import CONTROL
from td_pinterest_op.settings.structures import AD_ACCOUNT_IDS, AUDIENCE_IDS, COLUMNS, SIZES, STATUS_SET
from td_pinterest_op.settings.types import (
    AD_ACCOUNT_ID,
    AUDIENCE_ID,
    BOOLEAN,
    COUNTRY,
    CREDENTIAL,
    NUMERIC_CREDENTIAL,
    PAGE,
    RATIO,
    TEXT,
    SettingType,
    choice,
    whole_number,
)


class Action(str, enum.Enum):
    """What an export does to an audience."""

    ADD = "add_people_to_current_audience"
    REMOVE = "remove_people_from_current_audience"
    CREATE = "create_new_audience"
    REPLACE = "replace_current_audience"
    CLEAR = "clear_current_audience"
    DELETE = "delete_current_audience"
    CREATE_ACTALIKE = "create_actalike_audience"


class IfExists(str, enum.Enum):
    """What CREATE does if an audience of that name exists."""

    FAIL = "fail"
    ADD = "add"
    REPLACE = "replace"


class ExpectedValues(str, enum.Enum):
    """What the valid values of a result are expected to be: identifiers in plain text, or their digests."""

    ANY = "any"
    PLAIN = "plain"
    HASHED = "hashed"


class RecordsFormat(str, enum.Enum):
    """What a record is: one identifier, or a row of the query with all its keys."""

    IDENTIFIERS = "identifiers"
    ROWS = "rows"


ALL = frozenset(Action)
_CREATING = frozenset({Action.CREATE, Action.CREATE_ACTALIKE})
READS_ROWS = frozenset({Action.ADD, Action.REMOVE, Action.CREATE, Action.REPLACE})
ADDS_PEOPLE = READS_ROWS - {Action.REMOVE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: a row of the table in README."""

    name: str
    type: SettingType
    default: Any = None
    alias: str | None = None
    needed_by: frozenset[Action] = frozenset()
    used_by: frozenset[Action] = ALL
    is_credential: bool = False

    @property
    def required(self) -> str:
        """ "yes", "no", or "for" and the actions that need it."""
        if self.needed_by == ALL:
            return "yes"
        return "for " + ", ".join(sorted(self.needed_by)) if self.needed_by else "no"

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
        if isinstance(self.default, enum.Enum):
            return str(self.default.value)
        return "–" if self.default is None or self.default == {} else str(self.default).lower()


@dataclass(frozen=True, kw_only=True)
class Table:
    """The settings of one door.

    `ordered`: pairs of settings of which the first may not be greater than the second; a setting that is left out
    counts with its default. `example`: the shortest `result_settings` that work, for the message about missing ones.
    """

    settings: tuple[Setting, ...]
    ordered: tuple[tuple[str, str], ...]
    example: str

    @cached_property
    def by_name(self) -> Mapping[str, Setting]:
        """Settings by name and by alias, in the order of the table."""
        return {name: key for key in self.settings for name in (key.name, key.alias) if name}


AUDIENCE_ID_SETTINGS = {
    Action.ADD: "audience_id_add_people",
    Action.REMOVE: "audience_id_remove_people",
    Action.REPLACE: "audience_id_replace",
    Action.DELETE: "audience_id_delete",
    Action.CLEAR: "audience_id_clear",
}


def _words(values: type[enum.Enum]) -> SettingType:
    return choice({str(value.value): value for value in values})


_ACTION = choice(
    {action.value: action for action in Action},
    aliases={"remove_people_to_current_audience": Action.REMOVE},
)
_SECONDS = whole_number(1, 86_400)
# Pinterest's standard tier allows 400 writes a minute, for a user and an app.
REQUESTS_PER_MINUTE = 390
MAX_IN_FLIGHT = 8
_RECORDS_LIMIT = 1_000_000_000_000

_credential = partial(Setting, type=CREDENTIAL, needed_by=ALL, is_credential=True)
_of_rows = partial(Setting, used_by=READS_ROWS)
_of_new_audience = partial(Setting, used_by=_CREATING)
_of_new_list = partial(Setting, used_by=frozenset({Action.CREATE, Action.REPLACE}), type=BOOLEAN, default=False)
_of_actalike = partial(
    Setting, needed_by=frozenset({Action.CREATE_ACTALIKE}), used_by=frozenset({Action.CREATE_ACTALIKE})
)

_TYPE = Setting(name="type", type=choice({"pinterest": "pinterest"}), needed_by=ALL)
CREDENTIALS = (
    _credential(name="client_id", type=NUMERIC_CREDENTIAL),
    _credential(name="client_secret"),
    _credential(name="refresh_token"),
)
_AD_ACCOUNT = Setting(name="ad_account_id", type=AD_ACCOUNT_ID, needed_by=ALL)
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
_DRY_RUN = Setting(name="dry_run", type=BOOLEAN, default=False)
_RATE = Setting(name="requests_per_minute", type=whole_number(1, 100_000), default=REQUESTS_PER_MINUTE)
_IN_FLIGHT = _of_rows(name="max_in_flight", type=whole_number(1, 64), default=MAX_IN_FLIGHT)
_COLUMNS = _of_rows(name="columns", type=COLUMNS, default=MappingProxyType({}))

SETTINGS: tuple[Setting, ...] = (
    _TYPE,
    *CREDENTIALS,
    _AD_ACCOUNT,
    Setting(name="audience_type", type=choice({"customer_list": "customer_list"}), needed_by=ALL),
    Setting(name="action", type=_ACTION, default=Action.CREATE),
    *(
        Setting(name=name, type=AUDIENCE_ID, needed_by=frozenset({action}), used_by=frozenset({action}))
        for action, name in AUDIENCE_ID_SETTINGS.items()
    ),
    _of_new_audience(name="audience_name", type=TEXT, needed_by=_CREATING),
    _of_new_audience(name="audience_description", type=TEXT),
    _BATCH_SIZE,
    _SKIP_INVALID,
    *_RETRIES_AND_TIMEOUTS,
    Setting(name="audience_id", type=AUDIENCE_ID, used_by=ALL - _CREATING),
    _DRY_RUN,
    _of_rows(name="allow_empty", type=BOOLEAN, default=False),
    _of_rows(name="max_invalid_ratio", type=RATIO, default=1.0),
    _of_rows(name="min_records", type=whole_number(0, _RECORDS_LIMIT)),
    _of_rows(name="max_records", type=whole_number(1, _RECORDS_LIMIT)),
    _RATE,
    _IN_FLIGHT,
    Setting(name="if_exists", type=_words(IfExists), default=IfExists.FAIL, used_by=frozenset({Action.CREATE})),
    _of_new_list(name="replace_newer"),
    Setting(name="expected_audience_name", type=TEXT, used_by=ALL - _CREATING),
    _COLUMNS,
    Setting(name="report", type=PAGE),
    _of_rows(name="records", type=_words(RecordsFormat), default=RecordsFormat.IDENTIFIERS),
    _of_rows(name="default_country", type=COUNTRY),
    _of_new_list(name="is_nca"),
    _of_actalike(name="seed_audience_id", type=AUDIENCE_ID),
    _of_actalike(name="country", type=choice({code: code for code in ("US", "CA", "GB")})),
    _of_actalike(name="percentage", type=whole_number(1, 10)),
    _of_rows(name="expect_values", type=_words(ExpectedValues), default=ExpectedValues.ANY),
    Setting(name="allow_empty_suppress", type=BOOLEAN, default=False, used_by=ADDS_PEOPLE),
    Setting(name="control", type=CONTROL, used_by=ADDS_PEOPLE),
    Setting(name="even_if_used", type=BOOLEAN, default=False, used_by=frozenset({Action.CLEAR, Action.DELETE})),
)

EXPORT = Table(
    settings=SETTINGS,
    ordered=(("retry_initial_wait_millis", "max_retry_wait_millis"), ("min_records", "max_records")),
    example="""
    result_settings:
      type: pinterest
      ad_account_id: "549755885175"
      audience_type: customer_list
      action: add_people_to_current_audience
      audience_id_add_people: "2542620905475"
""",
)

_TYPE_IF_GIVEN = Setting(name="type", type=_TYPE.type)
_AD_ACCOUNT_IF_GIVEN = Setting(name="ad_account_id", type=AD_ACCOUNT_ID)
_WAITS = (("retry_initial_wait_millis", "max_retry_wait_millis"),)

STATUS = Table(
    settings=(
        _TYPE_IF_GIVEN,
        *CREDENTIALS,
        _AD_ACCOUNT,
        Setting(name="audience_ids", type=AUDIENCE_IDS),
        Setting(name="audience_id", type=AUDIENCE_ID),
        Setting(name="min_size", type=whole_number(0, _RECORDS_LIMIT)),
        Setting(name="max_drop_ratio", type=RATIO),
        Setting(name="previous_sizes", type=SIZES, default=MappingProxyType({})),
        Setting(name="fail_on", type=STATUS_SET, default=frozenset({"TOO_SMALL", "REMOVED"})),
        *_RETRIES_AND_TIMEOUTS,
    ),
    ordered=_WAITS,
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
    ),
    ordered=_WAITS,
    example="""
    result_settings:
      ad_account_ids: ["549755885175"]
""",
)

CONNECTION = Table(
    settings=(_TYPE_IF_GIVEN, *CREDENTIALS, _AD_ACCOUNT_IF_GIVEN, *_RETRIES_AND_TIMEOUTS),
    ordered=_WAITS,
    example="""
    result_settings: {}
""",
)
