"""Actions, settings, tables of settings, and the parsed values of one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from td_pinterest_op.errors import Problem, ProblemCode, SettingsError
from td_pinterest_op.redaction.format import format_count
from td_pinterest_op.settings.types import SettingType

_K = TypeVar("_K")


Scope = Literal["every action", "rows", "people", "new audience", "old audience", "new list", "named"]
"""The subject of a setting. An action uses the settings of its scopes, and those that it names.

rows: those of a query. people: who are added. new audience, old audience: what is created or changed. new list: the
customer list that is filled for an audience.
"""


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """The description of an action that `result_settings` can name.

    `audience_id`: its own setting for the audience's id. `needs`: the settings that it requires. `uses`: settings
    besides those of its `scopes`. `only_once`: it fails in a second session, unless `if_exists` allows it.
    `leaves_lists`: each session orphans a customer list. `drops_members`: members who are not in the rows leave.
    `finds_by_name`: its audience may be named by `audience_name`, and is created if it does not exist. `needs_query`:
    the warehouse reads the rows. `least_records`: the default of `min_records`.
    """

    name: str
    aliases: tuple[str, ...] = ()
    audience_id: str | None = None
    scopes: tuple[Scope, ...]
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    only_once: bool = False
    leaves_lists: bool = False
    drops_members: bool = False
    finds_by_name: bool = False
    needs_query: bool = False
    least_records: int | None = None

    @property
    def reads_rows(self) -> bool:
        """Whether the action exports the rows of a query."""
        return "rows" in self.scopes

    @property
    def adds_people(self) -> bool:
        """Whether the action may add people to an audience."""
        return "people" in self.scopes


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
    alias: str = ""
    is_needed: bool = False
    scope: Scope = "every action"
    is_credential: bool = False
    restricts: bool = False
    limits_rows: bool = False
    harmless: Any = None
    at_most: str | None = None
    single: str | None = None

    def is_used_by(self, action: ActionSpec) -> bool:
        """Whether the action uses the setting."""
        named = {*action.needs, *action.uses, action.audience_id}
        return self.scope == "every action" or self.scope in action.scopes or self.name in named

    def is_restriction(self, value: object, action: ActionSpec) -> bool:
        """Whether this value may keep some of the action's records from being sent, or stop the run."""
        harmless = self.default if self.harmless is None else self.harmless
        return self.restricts and value not in (None, harmless) and (action.reads_rows or not self.limits_rows)

    @property
    def secret(self) -> str:
        """The workflow secret that contains the credential if the setting is left out."""
        return f"pinterest.{self.name}"


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
    """The settings of one entry point, such as the export. `kind`: the dataclass that gets their values."""

    kind: type[_K]
    settings: tuple[Setting, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Setting]:
        """The settings by name and by alias, in the order of the table."""
        return {name: key for key in self.settings for name in (key.name, key.alias) if name}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSettings:
    """The keys of `result_settings` that are not left out, and all problems.

    `given`: the values by name or alias, None for a wrong one. `secrets`: the workflow secrets that values came from.
    `lost_digits`: the keys of ids that may have lost digits.
    """

    table: SettingsTable[Any]
    given: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    lost_digits: list[str] = field(default_factory=list)
    _problems: list[Problem] = field(default_factory=list)

    @property
    def values(self) -> dict[str, Any]:
        """The value of each setting: its default if it is left out, None if it is wrong."""
        return {
            key.name: self.given.get(key.name, self.given.get(key.alias, key.default)) for key in self.table.settings
        }

    @property
    def action(self) -> ActionSpec | None:
        """The action that the settings name, or None if it is wrong or the table has no actions."""
        return self.values.get("action")

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems in the order of the table. Problems of unknown keys come last."""
        places = {name: place for place, name in enumerate(self.table.by_name)}
        return tuple(sorted(self._problems, key=lambda problem: places.get(problem.key, len(places))))

    @property
    def unused_keys(self) -> list[str]:
        """The keys that the action does not use, in the order of the table."""
        action, keys = self.action, self.table.by_name.items()
        return [name for name, key in keys if action and name in self.given and not key.is_used_by(action)]

    def add_problem(self, name: str, text: str, *, code: ProblemCode = "wrong") -> None:
        """Add a problem of the key `name`. `code`: the kind of problem, see `ProblemCode`."""
        self._problems.append(Problem(key=name, code=code, text=text))

    def build_error(self) -> SettingsError:
        """Return all problems as one error, one per line."""
        lines = [f"- {problem.key}: {problem.text}" for problem in self.problems]
        text = "\n".join([f"result_settings has {format_count(len(lines), 'problem')}:", *lines])
        return SettingsError(text, problems=self.problems)
