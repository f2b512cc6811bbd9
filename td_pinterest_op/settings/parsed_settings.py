"""The settings of a task, parsed: the value of each key, and every problem."""

from dataclasses import dataclass, field
from typing import Any

from td_pinterest_op.errors import Problem, ProblemCode, SettingsError
from td_pinterest_op.settings.action import ActionSpec
from td_pinterest_op.settings.setting import SettingsTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSettings:
    """The values of `result_settings` by the names and aliases in a table, and their problems.

    `values`: the default of a key that is left out, None for a wrong value. `given`: the keys that are not left out.
    `secrets`: the workflow secrets that values came from. `lost_digits`: the keys of ids that may have lost digits.
    """

    table: SettingsTable[Any]
    values: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict)
    lost_digits: list[str] = field(default_factory=list)
    _problems: list[Problem] = field(default_factory=list)

    @property
    def action(self) -> ActionSpec | None:
        """The action that the settings name; None if it is wrong, or if the table has no actions."""
        return self.values.get("action")

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems in the order of the table. Problems of unknown keys come last."""
        places = {name: place for place, name in enumerate(self.table.by_name)}
        return tuple(sorted(self._problems, key=lambda problem: places.get(problem.key, len(places))))

    def add_problem(self, name: str, text: str, *, code: ProblemCode = "wrong") -> None:
        """Add a problem with the key `name`; `code`: see `Problem`."""
        self._problems.append(Problem(key=name, code=code, text=text))

    def build_error(self) -> SettingsError:
        """Return all problems as one error, one per line."""
        problems = self.problems
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        lines = (f"- {problem.key}: {problem.text}" for problem in problems)
        return SettingsError("\n".join([f"result_settings has {count}:", *lines]), problems=problems)

    def find_unused_keys(self, action: ActionSpec) -> list[str]:
        """Return the given keys that the action does not use, in the order of the table."""
        return [name for name, key in self.table.by_name.items() if name in self.given and not key.is_used_by(action)]
