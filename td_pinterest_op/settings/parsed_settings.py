"""The settings of a task, parsed: the value of each key, and every problem."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from td_pinterest_op.errors import Problem, ProblemCode, SettingsError
from td_pinterest_op.settings.action import ActionSpec
from td_pinterest_op.settings.setting import Setting, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedValue:
    """The value of one key: the default if the key is left out, None if it is given and wrong."""

    is_given: bool
    value: Any = None
    secret: str | None = None  # the workflow secret that the value came from
    lost_digits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSettings:
    """The values of `result_settings` by the names and aliases in a table, and their problems."""

    table: Table
    values: dict[str, ParsedValue] = field(default_factory=dict)
    _problems: list[Problem] = field(default_factory=list)

    @property
    def action(self) -> ActionSpec | None:
        """The action; None if it is wrong, or if the table has none."""
        action: ActionSpec | None = self.value("action")
        return action

    def value(self, name: str) -> Any:
        """Return the value of a key; None for a wrong one, and for one that the table does not have."""
        return self.values[name].value if name in self.values else None

    def is_given(self, *names: str) -> bool:
        """Whether at least one of these keys is given."""
        return any(self.values[name].is_given for name in names)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems in the order of the table, those of other names last."""
        places = {name: place for place, name in enumerate(self.table.by_name)}
        return tuple(sorted(self._problems, key=lambda problem: places.get(problem.key, len(places))))

    def add_problem(self, name: str, text: str, *, code: ProblemCode = "wrong") -> None:
        """Add a problem with the key `name`; `code`: see `Problem`."""
        self._problems.append(Problem(key=name, code=code, text=text))

    def error(self) -> SettingsError:
        """Return all problems as one error, one per line."""
        problems = self.problems
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        lines = (f"- {problem.key}: {problem.text}" for problem in problems)
        return SettingsError("\n".join([f"result_settings has {count}:", *lines]), problems=problems)

    def unused_keys(self) -> Iterator[tuple[str, Setting]]:
        """Yield name and setting of each given key that the action does not use."""
        for name, key in self.table.by_name.items():
            if self.action and self.values[name].is_given and not key.is_used_by(self.action):
                yield name, key

    def unused_warning(self) -> str:
        """Return a warning that names the given keys that the action does not use; "" without any."""
        names = ", ".join(name for name, _ in self.unused_keys())
        return f"{self.action.name} does not use these settings: {names}" if self.action and names else ""

    def lost_digits_warning(self) -> str:
        """Return a warning that names the ids that may have lost digits; "" without any."""
        names = ", ".join(name for name, value in self.values.items() if value.lost_digits)
        return names and (
            "digdag may have changed the last digits of these ids (numbers over 2^53, or more than 16 digits that end "
            f"in zeros); put them in quotes where they are first written: {names}"
        )
