"""The parts of `settings.table`: a setting, and the table of an entry point's settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.settings.types import SettingType

_K = TypeVar("_K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: a row of the settings table in README.

    `restricts`: a value other than `harmless` (by default the default) keeps people from being sent, or stops a run.
    `limits_rows`: it does so by counting rows or records. `at_most`: the setting whose value this one may not exceed; a
    setting that is left out counts with its default. `single`: the setting for one id, in place of this list of ids.
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
    at_most: str | None = None
    single: str | None = None

    def is_used_by(self, action: ActionSpec) -> bool:
        """Whether the action uses the setting."""
        named = {*action.needs, *action.uses, action.audience_id}
        return self.scope is Scope.EVERY_ACTION or self.scope in action.scopes or self.name in named

    def is_restriction(self, value: object, action: ActionSpec) -> bool:
        """Whether this value may keep some of the action's records from being sent, or stop the run."""
        harmless = self.default if self.harmless is None else self.harmless
        return self.restricts and value not in (None, harmless) and (action.reads_rows or not self.limits_rows)

    @property
    def secret(self) -> str:
        """The workflow secret that contains the credential if the setting is left out."""
        return f"pinterest.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable through which a task gets the workflow secret."""
        return build_variable_name(self.secret)


def build_variable_name(secret: str) -> str:
    """Return the environment variable of a workflow secret: PINTEREST_CLIENT_ID for pinterest.client_id."""
    return re.sub(r"[.-]", "_", secret).upper()


def declare_setting(type_: SettingType, default: Any = None, **attributes: Any) -> Any:
    """Return a dataclass field that declares a setting of the field's name. `attributes`: those of `Setting`."""
    return field(metadata={"setting": Setting(type=type_, default=default, **attributes)})


def find_declared_settings(kind: type[Any]) -> list[Setting]:
    """Return the settings that a dataclass and its base classes declare as fields."""
    return [replace(each.metadata["setting"], name=each.name) for each in fields(kind) if "setting" in each.metadata]


@dataclass(frozen=True, kw_only=True)
class SettingsTable(Generic[_K]):
    """The settings of one entry point, such as the export.

    `kind`: the dataclass that gets their values. `actions`: what the setting `action` can name, if there is one.
    """

    kind: type[_K]
    settings: tuple[Setting, ...]
    actions: tuple[ActionSpec, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Setting]:
        """The settings by name and by alias, in the order of the table."""
        return {name: key for key in self.settings for name in (key.name, key.alias) if name}
