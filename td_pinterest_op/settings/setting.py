"""The parts of `settings.table`: a setting, and the table of a door's settings."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.settings.types import SettingType, TableName


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: a row of the settings table in README.

    `restricts`: a value other than `harmless` (by default the default) keeps people from being sent, or stops a run.
    `limits_rows`: it does so by counting rows or records.
    """

    name: str = ""
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
        """Whether the setting makes a difference to an action."""
        named = {*action.needs, *action.uses, action.audience_id}
        return self.scope is Scope.EVERY_ACTION or self.scope in action.scopes or self.name in named

    def is_restriction(self, value: object) -> bool:
        """Whether a value keeps people from being sent, or may stop a run."""
        harmless = self.default if self.harmless is None else self.harmless
        return self.restricts and value not in (None, harmless)

    def can_be_unused_by(self, action: ActionSpec) -> bool:
        """Whether an action may ignore the setting because it has no rows that the setting could limit."""
        return self.limits_rows and not action.reads_rows

    @property
    def secret(self) -> str:
        """The workflow secret from which a credential comes if it is left out."""
        return f"pinterest.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable through which a task gets that secret."""
        return f"PINTEREST_{self.name.upper()}"

    @property
    def default_text(self) -> str:
        """The default as README shows it; "–" for none."""
        if self.is_credential:
            return "from the environment"
        if isinstance(self.default, ActionSpec):
            return self.default.name
        if isinstance(self.default, TableName):
            return self.default.table
        if isinstance(self.default, enum.Enum):
            return str(self.default.value)
        return "–" if self.default is None or self.default == {} else str(self.default).lower()


def setting(type_: SettingType, default: Any = None, **attributes: Any) -> Any:
    """Return a dataclass field for a setting, which gets the field's name. `attributes`: those of `Setting`."""
    return field(metadata={"setting": Setting(type=type_, default=default, **attributes)})


def find_declared_settings(kind: type) -> Iterator[Setting]:
    """Yield the settings that a dataclass declares as fields: its own, then those of its base class."""
    base = kind.__base__
    inherited = {each.name for each in fields(base)} if base and is_dataclass(base) else set()
    for each in fields(kind):
        if "setting" in each.metadata and each.name not in inherited:
            yield replace(each.metadata["setting"], name=each.name)
    if base and inherited:
        yield from find_declared_settings(base)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The settings of one entry point, such as the export.

    `ordered`: pairs of settings of which the first may not be greater than the second; a setting that is left out
    counts with its default. `several`: the setting for the ids of which one at least is needed, and the one for a
    single id. `retired`: what to do in place of a setting of an earlier version. `example`: the shortest
    `result_settings` that work, for the message about missing ones. `actions`: those that the setting `action` names,
    if there is one.
    """

    settings: tuple[Setting, ...]
    example: str
    ordered: tuple[tuple[str, str], ...] = (("retry_initial_wait_millis", "max_retry_wait_millis"),)
    several: tuple[str, str] | None = None
    retired: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[ActionSpec, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Setting]:
        """The settings by name and by alias, in the order of the table."""
        return {name: key for key in self.settings for name in (key.name, key.alias) if name}
