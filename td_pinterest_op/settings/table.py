"""The table of settings: every key of `result_settings`, its type, its default, and the actions that use or need it.

README's tables are checked against `SETTINGS`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from td_pinterest_op.settings.types import (
    BOOLEAN,
    COLUMNS,
    CREDENTIAL,
    ID,
    NUMERIC_CREDENTIAL,
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


ALL = frozenset(Action)
_SENDING = frozenset({Action.ADD, Action.REMOVE, Action.CREATE, Action.REPLACE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: a row of the table in README."""

    name: str
    kind: SettingType
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
    def default_text(self) -> str:
        """The default as README writes it; "–" for none."""
        if self.is_credential:
            return "from the environment"
        if isinstance(self.default, Action):
            return self.default.value
        return "–" if self.default is None or self.default == {} else str(self.default).lower()


_ACTION = choice(
    {action.value: action for action in Action},
    aliases={"remove_people_to_current_audience": Action.REMOVE},
)
_SECONDS = whole_number(1, 86_400)
_RECORDS_LIMIT = 1_000_000_000_000

AUDIENCE_ID_SETTINGS = {
    Action.ADD: "audience_id_add_people",
    Action.REMOVE: "audience_id_remove_people",
    Action.REPLACE: "audience_id_replace",
    Action.DELETE: "audience_id_delete",
    Action.CLEAR: "audience_id_clear",
}

_credential = partial(Setting, kind=CREDENTIAL, needed_by=ALL, is_credential=True)
_of_rows = partial(Setting, used_by=_SENDING)
_of_new_audience = partial(Setting, kind=TEXT, used_by=frozenset({Action.CREATE}))

SETTINGS: tuple[Setting, ...] = (
    Setting(name="type", kind=choice({"pinterest": "pinterest"}), needed_by=ALL),
    _credential(name="client_id", kind=NUMERIC_CREDENTIAL),
    _credential(name="client_secret"),
    _credential(name="refresh_token"),
    Setting(name="ad_account_id", kind=ID, needed_by=ALL),
    Setting(name="audience_type", kind=choice({"customer_list": "customer_list"}), needed_by=ALL),
    Setting(name="action", kind=_ACTION, default=Action.CREATE),
    *(
        Setting(name=name, kind=ID, needed_by=frozenset({action}), used_by=frozenset({action}))
        for action, name in AUDIENCE_ID_SETTINGS.items()
    ),
    _of_new_audience(name="audience_name", needed_by=frozenset({Action.CREATE})),
    _of_new_audience(name="audience_description"),
    _of_rows(name="limit_records_per_request", kind=whole_number(1, 100_000), default=10_000),
    _of_rows(name="ignore_invalid_records", alias="ignore_error", kind=BOOLEAN, default=False),
    Setting(name="retry_count", kind=whole_number(0, 100), default=7),
    Setting(name="retry_initial_wait_millis", kind=whole_number(0, 3_600_000), default=500),
    Setting(name="max_retry_wait_millis", kind=whole_number(0, 86_400_000), default=300_000),
    Setting(name="connection_timeout_secs", kind=_SECONDS, default=180),
    Setting(name="write_timeout_secs", kind=_SECONDS, default=60),
    Setting(name="read_timeout_secs", kind=_SECONDS, default=180),
    Setting(name="audience_id", kind=ID, used_by=ALL - {Action.CREATE}),
    Setting(name="dry_run", kind=BOOLEAN, default=False),
    _of_rows(name="allow_empty", kind=BOOLEAN, default=False),
    _of_rows(name="max_invalid_ratio", kind=RATIO, default=1.0),
    _of_rows(name="min_records", kind=whole_number(0, _RECORDS_LIMIT)),
    _of_rows(name="max_records", kind=whole_number(1, _RECORDS_LIMIT)),
    Setting(name="requests_per_minute", kind=whole_number(1, 100_000), default=390),
    _of_rows(name="max_in_flight", kind=whole_number(1, 64), default=8),
    _of_rows(name="columns", kind=COLUMNS, default=MappingProxyType({})),
)

# lesser first; in each pair a value that is left out counts with its default
ORDERED = (("retry_initial_wait_millis", "max_retry_wait_millis"), ("min_records", "max_records"))
