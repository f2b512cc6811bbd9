"""The settings: each key of `result_settings` is declared once, with its type, its default and the actions that use it.

A setting is a field of a dataclass, and the field's name is the key. Each entry point has a class and a table.
"""

# To add a setting of an export:
# 1. Test how it is read (tests/unit/settings/test_parse.py) and what it does (tests/e2e; a limit:
#    tests/e2e/test_plan_and_limits.py and tests/mirror/test_mirror.py). If it can stop an export or withhold people,
#    add it to tests/e2e/restrictions.py, which tries every entry point with it.
# 2. Declare it in `ExportSettings` or a class that it inherits, with its type (settings/types.py), its default, and the
#    helper for the actions that use it. `restricts=True` makes an action that cannot honour it refuse it.
# 3. Use `settings.NAME` in the place of its subject: the request (audiences/request.py), reading rows
#    (records/readers.py), records (records/prepared.py), their limits (records/limits.py, also for the mirror; what
#    only a mirror counts, such as those who leave: mirroring/checks.py), an action (audiences/actions/), sending
#    (audiences/sender.py). If it depends on another setting, add a rule to
#    settings/parse.py.
# 4. If a single run may set it, add it to `FOR_THIS_RUN_SETTING_NAMES` and docs/how-to.md ("Change settings for
#    one run").
# 5. Add a row to docs/settings.md and, if it restricts, its name to "How settings are read" there. Then run
#    `.venv/bin/python -m tests.readme`.
# Messages, `check`, the command line, entries of a list and activations follow by themselves.
#
# To add a setting of `pinterest_status` or `pinterest_erasure`: a field of its class; its use in status.py
# (tests/unit/test_status.py) or erasure.py (tests/e2e/test_erasure.py); how it is read in
# tests/unit/settings/test_entry_points.py; a row in docs/reference.md ("Settings of the other workflows"); a line in
# workflows/config/status.yml or erasure.yml, and in CHANGELOG.md.
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar, get_args

from td_pinterest_op.errors import SettingProblem
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.settings.structures import (
    AD_ACCOUNT_IDS_TYPE,
    AUDIENCE_IDS_TYPE,
    COLUMN_NAMES_TYPE,
    COLUMNS_TYPE,
    CONTROL_TYPE,
    STATUSES_TYPE,
    TABLES_TYPE,
    ControlGroup,
)
from td_pinterest_op.settings.types import (
    AD_ACCOUNT_ID_TYPE,
    AUDIENCE_ID_TYPE,
    BOOLEAN_TYPE,
    COUNTRY_TYPE,
    CREDENTIAL_TYPE,
    QUERY_TYPE,
    RATIO_TYPE,
    TABLE_TYPE,
    TEXT_TYPE,
    SettingType,
    TableName,
    build_choice_type,
    build_integer_type,
    build_word_type,
)

_SettingsT = TypeVar("_SettingsT")

JOB_OPTIONS = ("priority", "job_retry", "presto_pool_name", "hive_pool_name", "engine_version", "hive_engine_version")
"""The parameters of a task, or of `td:`, for its jobs, as in digdag's td> operator."""
TASK_PARAMETERS = ("query", "database", "engine", "job_id", *JOB_OPTIONS)
"""The parameters that an export reads; digdag passes on all others of the workflow as well."""
FOR_THIS_RUN_PARAMETER = "settings_for_this_run"
"""The parameter of a run with settings that replace the task's own."""
NON_SETTING_PARAMETERS = ("later_runs", "audiences", "at_once", FOR_THIS_RUN_PARAMETER)
"""More parameters: of an activation, of a list of audiences, and of a run."""
FOR_THIS_RUN_SETTING_NAMES = (
    *("dry_run", "min_records", "max_records", "max_invalid_ratio", "max_leave_ratio", "allow_empty"),
    *("begin", "rebuild", "replace_newer", "even_if_used"),
)
"""The settings that may be given for one run."""

SUPPRESS_LIST_NAME = "suppress"
CONSENT_LIST_NAME = "consent"
WITHHOLDING_LIST_NAMES = (SUPPRESS_LIST_NAME, CONSENT_LIST_NAME)
"""The settings whose queries select who opted out, and who consented."""

CONSOLE_SETTING_NAMES = (
    *("type", "ad_account_id", "audience_type", "action", "audience_id", "audience_name", "audience_description"),
    *("limit_records_per_request", "ignore_invalid_records", "ignore_error", "retry_count"),
    *("retry_initial_wait_millis", "max_retry_wait_millis"),
    *("connection_timeout_secs", "write_timeout_secs", "read_timeout_secs"),
)
"""The settings that Audience Studio's console may choose, besides the actions' own for the audience's id."""

Scope = Literal["every action", "rows", "people", "new audience", "old audience", "new list", "named"]
"""The subject of a setting. An action uses the settings of its scopes, and those that it names.

rows: those of a query. people: who are added. new audience, old audience: what is created or changed. new list: the
customer list that is filled.
"""


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """An action that `result_settings` can name."""

    name: str
    aliases: tuple[str, ...] = ()
    audience_id: str | None = None  # the action's own setting for the audience's id; None if it creates the audience
    scopes: tuple[Scope, ...]
    needs: tuple[str, ...] = ()  # settings without which the action is refused
    uses: tuple[str, ...] = ()  # settings besides those of `needs` and `scopes`
    only_once: bool = False  # fails in a second session, unless `if_exists` allows it
    drops_members: bool = False  # removes people who are not in the rows
    finds_by_name: bool = False  # `audience_name` may name its audience, which is created if it does not exist
    needs_query: bool = False  # the rows must come from a query, whose result the warehouse reads
    least_records: int | None = None  # the default of `min_records`

    @property
    def reads_rows(self) -> bool:
        """Whether the action exports the rows of a query."""
        return "rows" in self.scopes

    @property
    def adds_people(self) -> bool:
        """Whether the action may add people to an audience."""
        return "people" in self.scopes


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The declaration of a setting."""

    name: str = ""
    type: SettingType
    default: Any = None
    alias: str = ""  # another name of the key; for a list, that of a single item
    is_needed: bool = False
    scope: Scope = "every action"
    is_credential: bool = False
    restricts: bool = False  # a value other than `harmless` keeps people from being sent, or stops a run
    limits_rows: bool = False  # it limits the number or share of rows or records
    harmless: Any = None  # the value that restricts nothing; None: the default
    comment: str = ""  # beside the setting in a new project folder

    def is_used_by(self, action: ActionSpec) -> bool:
        """Whether the action uses the setting."""
        named = {*action.needs, *action.uses, action.audience_id}
        return self.scope == "every action" or self.scope in action.scopes or self.name in named

    @property
    def secret_name(self) -> str:
        """The name of the workflow secret with the credential if the setting is left out."""
        return f"pinterest.{self.name}"


def build_variable_name(secret_name: str) -> str:
    """Return a workflow secret's environment variable: PINTEREST_CLIENT_ID for pinterest.client_id."""
    return re.sub(r"[.-]", "_", secret_name).upper()


def declare_setting(type_: SettingType, default: Any = None, **attributes: Any) -> Any:
    """Return a dataclass field that declares a setting of the same name. `**attributes`: other fields of `Setting`."""
    return field(metadata={"setting": Setting(type=type_, default=default, **attributes)})


def find_declared_settings(class_: type[Any]) -> list[Setting]:
    """Return the settings that a dataclass and its base classes declare."""
    return [replace(each.metadata["setting"], name=each.name) for each in fields(class_) if "setting" in each.metadata]


@dataclass(frozen=True, kw_only=True)
class SettingsTable(Generic[_SettingsT]):
    """The settings that an entry point allows."""

    settings_class: type[_SettingsT]  # the dataclass of the values
    settings: tuple[Setting, ...]  # in the order in which problems are reported
    by_name: Mapping[str, Setting]  # by name and by alias


IfExists = Literal["fail", "add", "replace"]
FirstRun = Literal["replace", "adopt"]
"""What a mirror's first run does with people already in the audience: removes them, or keeps them."""
ExpectedValues = Literal["any", "plain", "hashed"]
"""What the valid values of a result must be: identifiers in plain text, or their digests."""
HashIn = Literal["operator", "warehouse"]
RecordUnit = Literal["identifiers", "rows"]
"""What a record is: one identifier, or a row of the query with all its keys."""

_SECONDS_TYPE = build_integer_type(1, 86_400)
_HIGHEST_RECORDS_LIMIT = 1_000_000_000_000

_credential = partial(declare_setting, is_credential=True)
_of_rows = partial(declare_setting, scope="rows")
_declare_people_setting = partial(declare_setting, scope="people")
_declare_new_audience_setting = partial(declare_setting, scope="new audience")
_declare_old_audience_setting = partial(declare_setting, scope="old audience")
_declare_new_list_setting = partial(declare_setting, scope="new list")
_declare_named_actions_setting = partial(declare_setting, scope="named")
_declare_row_limit = partial(declare_setting, scope="rows", restricts=True, limits_rows=True)


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings:
    """The settings for the connections to Treasure Data and Pinterest."""

    client_id: Secret = _credential(CREDENTIAL_TYPE)
    client_secret: Secret = _credential(CREDENTIAL_TYPE)
    refresh_token: Secret = _credential(CREDENTIAL_TYPE)
    refresh_token_secret: str | None  # the workflow secret with the token; None if it was in plain text
    ad_account_id: str = declare_setting(AD_ACCOUNT_ID_TYPE, "")  # "" for none, and for a setting with several
    retry_count: int = declare_setting(build_integer_type(0, 100), 7)
    retry_initial_wait_millis: int = declare_setting(build_integer_type(0, 3_600_000), 500)
    max_retry_wait_millis: int = declare_setting(build_integer_type(0, 86_400_000), 300_000)
    connection_timeout_secs: int = declare_setting(_SECONDS_TYPE, 180)
    write_timeout_secs: int = declare_setting(_SECONDS_TYPE, 60)
    read_timeout_secs: int = declare_setting(_SECONDS_TYPE, 180)
    # Pinterest's standard tier allows 400 writes a minute, for a user and an app.
    requests_per_minute: int = declare_setting(build_integer_type(1, 100_000), 390)
    max_in_flight: int = _of_rows(build_integer_type(1, 64), 8)
    history: TableName | None = declare_setting(TABLE_TYPE, comment="the table with a row about each run; '' for none")
    for_this_run: tuple[str, ...]  # the names of settings that a parameter of the run has replaced
    warnings: tuple[SettingProblem, ...]  # about settings that are unusual, but not wrong


@dataclass(frozen=True, kw_only=True)
class PeopleSettings(ConnectionSettings):
    """The settings for reading people and sending them."""

    limit_records_per_request: int = _of_rows(build_integer_type(1, 100_000), 10_000)
    ignore_invalid_records: bool = _of_rows(
        BOOLEAN_TYPE,
        False,
        alias="ignore_error",
        comment="skip and count invalid rows; false: stop before anything is sent",
    )
    dry_run: bool = declare_setting(BOOLEAN_TYPE, False, restricts=True)
    # The name in the query, in lower case → the name of an identifier type. Empty: columns are named for their type.
    columns: Mapping[str, str] = _of_rows(COLUMNS_TYPE, {})


@dataclass(frozen=True, kw_only=True)
class ExportSettings(PeopleSettings):
    """The settings of one export, which docs/settings.md explains.

    A setting that the action does not use has its default, even if it was given. Helpers such as `_of_rows` say which
    actions use it (see `Scope`).
    """

    action: ActionSpec  # declared by `build_export_table`, which knows the actions
    audience_name: str | None = _declare_new_audience_setting(TEXT_TYPE)
    audience_description: str | None = _declare_new_audience_setting(TEXT_TYPE)
    # None if the action creates one.
    audience_id: str | None = _declare_old_audience_setting(AUDIENCE_ID_TYPE)
    allow_empty: bool = _of_rows(BOOLEAN_TYPE, False)
    max_invalid_ratio: float = _declare_row_limit(RATIO_TYPE, 1.0)
    min_records: int | None = _declare_row_limit(
        build_integer_type(0, _HIGHEST_RECORDS_LIMIT), comment="the run stops if there are fewer"
    )
    max_records: int | None = _declare_row_limit(build_integer_type(1, _HIGHEST_RECORDS_LIMIT))
    if_exists: IfExists = _declare_named_actions_setting(
        build_word_type(*get_args(IfExists)), "fail", comment="what a second run does: fail, add or replace"
    )
    replace_newer: bool = _declare_new_list_setting(BOOLEAN_TYPE, False)
    expected_audience_name: str | None = declare_setting(
        TEXT_TYPE, restricts=True, comment="the run stops if the audience has another name"
    )
    report: str | None = declare_setting(TEXT_TYPE)
    rejected: TableName | None = _of_rows(TABLE_TYPE)
    rejected_keys: tuple[str, ...] = _of_rows(COLUMN_NAMES_TYPE, ())  # in lower case, as columns are compared
    records: RecordUnit = _of_rows(build_word_type(*get_args(RecordUnit)), "identifiers")
    hash_in: HashIn = _of_rows(build_word_type(*get_args(HashIn)), "operator")
    default_country: str | None = _of_rows(COUNTRY_TYPE)  # in upper case
    is_nca: bool = _declare_new_list_setting(BOOLEAN_TYPE, False)
    seed_audience_id: str | None = _declare_named_actions_setting(AUDIENCE_ID_TYPE)
    country: str | None = _declare_named_actions_setting(build_word_type("US", "CA", "GB"))
    percentage: int | None = _declare_named_actions_setting(build_integer_type(1, 10))
    expect_values: ExpectedValues = _of_rows(build_word_type(*get_args(ExpectedValues)), "any", restricts=True)
    # SQL, or its file; so is `consent`.
    suppress: str | None = _declare_people_setting(QUERY_TYPE, restricts=True, comment="people who must not be sent")
    consent: str | None = _declare_people_setting(QUERY_TYPE, restricts=True, comment="the only people who may be sent")
    allow_empty_suppress: bool = _declare_people_setting(BOOLEAN_TYPE, False)
    control: ControlGroup | None = _declare_people_setting(CONTROL_TYPE, restricts=True)
    even_if_used: bool = _declare_named_actions_setting(BOOLEAN_TYPE, False)
    ledger: TableName = _declare_named_actions_setting(TABLE_TYPE, TableName(None, "pinterest_ledger"))
    begin: FirstRun | None = _declare_named_actions_setting(
        build_word_type(*get_args(FirstRun)),
        comment="what the first run does with the people in the audience: replace or adopt them",
    )
    rebuild: bool = _declare_named_actions_setting(BOOLEAN_TYPE, False)
    # None: 0.2 for a mirror, no limit for other actions.
    max_leave_ratio: float | None = _declare_named_actions_setting(
        RATIO_TYPE, restricts=True, harmless=1.0, comment="the run stops if a greater share of the people would leave"
    )
    resend_days: int = _declare_named_actions_setting(build_integer_type(0, 3650), 30)


@dataclass(frozen=True, kw_only=True)
class StatusSettings(ConnectionSettings):
    """The settings of a status check (`pinterest_status`)."""

    audience_ids: tuple[str, ...] = declare_setting(AUDIENCE_IDS_TYPE, alias="audience_id")  # one at least, each once
    min_size: int | None = declare_setting(build_integer_type(0, _HIGHEST_RECORDS_LIMIT))
    max_drop_ratio: float | None = declare_setting(RATIO_TYPE)
    fail_on: frozenset[str] = declare_setting(STATUSES_TYPE, frozenset({"TOO_SMALL", "REMOVED"}))


@dataclass(frozen=True, kw_only=True)
class ErasureSettings(PeopleSettings):
    """The settings of an erasure (`pinterest_erasure`)."""

    # One at least, each once.
    ad_account_ids: tuple[str, ...] = declare_setting(AD_ACCOUNT_IDS_TYPE, alias="ad_account_id")
    ledgers: tuple[TableName, ...] = declare_setting(TABLES_TYPE, ())


RESTRICTING_SETTING_NAMES = frozenset(key.name for key in find_declared_settings(ExportSettings) if key.restricts)
"""The settings that restrict what is sent. A blank one is an error."""


def _build_settings_table(
    class_: type[_SettingsT],
    *,
    needed: Collection[str] = (),
    extra: Sequence[Setting] = (),
    omitted: Collection[str] = (),
) -> SettingsTable[_SettingsT]:
    """Return the table of a dataclass, with `extra` settings and without the `omitted`. Needed ones come first."""
    found = [Setting(name="type", type=build_word_type("pinterest")), *find_declared_settings(class_)]
    keys = [replace(key, is_needed=key.is_credential or key.name in needed) for key in found if key.name not in omitted]
    settings = (*(key for key in keys if key.is_needed), *extra, *(key for key in keys if not key.is_needed))
    by_name = {name: key for key in settings for name in (key.name, key.alias) if name}
    return SettingsTable(settings_class=class_, settings=settings, by_name=by_name)


def build_export_table(actions: Sequence[ActionSpec], *, default: ActionSpec) -> SettingsTable[ExportSettings]:
    """Return the table of an export. Its setting `action` allows `actions`; left out, it means `default`."""
    words = {word: action for action in actions for word in (action.name, *action.aliases)}
    action = build_choice_type(words, allowed_text=", ".join(action.name for action in actions))
    ids = [action.audience_id for action in actions if action.audience_id not in (None, "audience_id")]
    extra = (
        Setting(name="audience_type", type=build_word_type("customer_list"), is_needed=True),
        Setting(name="action", type=action, default=default),
        *(Setting(name=str(name), type=AUDIENCE_ID_TYPE, scope="named") for name in ids),
    )
    return _build_settings_table(ExportSettings, needed=("type", "ad_account_id"), extra=extra)


_PACE_SETTING_NAMES = ("requests_per_minute", "max_in_flight")

STATUS_SETTINGS = _build_settings_table(
    StatusSettings, needed=("ad_account_id", "audience_ids"), omitted=_PACE_SETTING_NAMES
)
ERASURE_SETTINGS = _build_settings_table(ErasureSettings, needed=("ad_account_ids",), omitted=("ad_account_id",))
CONNECTION_SETTINGS = _build_settings_table(ConnectionSettings, omitted=(*_PACE_SETTING_NAMES, "history"))

SETTINGS_FOR_ALL_ENTRIES = _build_settings_table(ConnectionSettings, omitted=("ad_account_id", "history"))
"""The settings of a list of audiences that count for all its entries."""

CREDENTIAL_SETTINGS = tuple(key for key in CONNECTION_SETTINGS.settings if key.is_credential)
