"""What a task gives under `result_settings`: each key read by its type, each rule checked, every problem collected."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeGuard

from td_pinterest_op.errors import Problem, ProblemCode, SettingsError
from td_pinterest_op.identifiers.types import KEYS_ONLY, LISTED, join_with_or
from td_pinterest_op.settings import text as setting_text
from td_pinterest_op.settings.action import ActionSpec, Scope
from td_pinterest_op.settings.table import HashIn, RecordsFormat, Setting, Table
from td_pinterest_op.settings.task_parameters import TASK_PARAMETERS
from td_pinterest_op.settings.types import (
    Show,
    WrongValueError,
    closest,
    described,
    has_lost_digits,
    is_left_out,
    shown,
)

log = logging.getLogger(__name__)

_MAXIMUM_UNKNOWN_KEYS = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Keys that Audience Studio's console adds to the settings that it passes on: td_…, _…, type and …Type.
_ADDED_BY_CONSOLE = re.compile(r"(?:td)?_.*|.*type", re.IGNORECASE)

_SECRET_LITERAL = re.compile(r"\$\{secret:([^{}]*)\}")
_SECRET_NAME = re.compile(r"(?!pin[ar][._])[A-Za-z_][A-Za-z0-9_.-]{0,63}")  # not a token in place of a name

_ENV_LINES = """\
    _env:
      !include : config/environment.yml"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one key holds: the value, or the default if the key is left out; None if it is given and wrong."""

    given: bool
    value: Any = None
    secret: str | None = None  # the workflow secret that the value came from
    lost_digits: bool = False


_LEFT_OUT = Given(given=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What the author should know although nothing is wrong. `code`: `lost-digits` or `unused`."""

    keys: tuple[str, ...]
    code: Literal["lost-digits", "unused"]
    text: str

    def __str__(self) -> str:
        return f"{self.text}: {', '.join(self.keys)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`result_settings` read by a table."""

    table: Table
    values: dict[str, Given] = field(default_factory=dict)
    _problems: list[Problem] = field(default_factory=list)

    @property
    def action(self) -> ActionSpec | None:
        """The action; None if it is wrong, or if the door has none."""
        action: ActionSpec | None = self.values["action"].value if "action" in self.values else None
        return action

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, in the order of the table; those of other names come last."""
        places = {name: place for place, name in enumerate(self.table.by_name)}
        return tuple(sorted(self._problems, key=lambda problem: places.get(problem.key, len(places))))

    def add(self, name: str, text: str, *, code: ProblemCode = "wrong") -> None:
        """Add a problem; see `Problem`."""
        self._problems.append(Problem(key=name, code=code, text=text))

    def error(self) -> SettingsError:
        """All problems as one error, a line each."""
        problems = self.problems
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        lines = (f"- {problem.key}: {problem.text}" for problem in problems)
        return SettingsError("\n".join([f"result_settings has {count}:", *lines]), problems=problems)

    def notices(self) -> tuple[Notice, ...]:
        """What is worth a warning, whatever else is wrong."""
        action = self.action
        given = {name: key for name, key in self.table.by_name.items() if self.values[name].given}
        notices = (
            Notice(
                keys=tuple(name for name, key in given.items() if action and not key.is_used_by(action)),
                code="unused",
                text=f"{action.name if action else ''} does not use these settings",
            ),
            Notice(
                keys=tuple(name for name, value in self.values.items() if value.lost_digits),
                code="lost-digits",
                text="digdag may have changed the last digits of these ids (numbers over 2^53, or more than 16 digits "
                "that end in zeros); put them in quotes where they are written first",
            ),
        )
        return tuple(notice for notice in notices if notice.keys)


def read(raw: object, *, table: Table, environ: Mapping[str, str]) -> Reading:
    """Read `result_settings`; every problem is in `Reading.problems`. Arguments: see `parse.parse`.

    Raises SettingsError if `raw` is not a mapping.
    """
    reading = Reading(table=table)
    mapping = _mapping(raw, reading)
    show = partial(shown, hidden=_credentials(mapping, table, environ))
    for name, key in table.by_name.items():
        reading.values[name] = _given(reading, name, key, mapping.get(name), environ, show)
    unknown = [name for name in mapping if name not in table.by_name]
    _read_names(reading, unknown, show)
    _join_aliases(reading)
    _check_order(reading)
    _check_needed(reading)
    _check_restrictions(reading)
    _check_expected_name(reading)
    _check_several(reading)
    _check_columns(reading)
    return reading


def _mapping(raw: object, reading: Reading) -> Mapping[object, object]:
    fault, value = f"{described(raw)} is not a mapping", raw
    if isinstance(raw, str):
        try:
            value = setting_text.load(raw)
        except setting_text.UnreadableTextError as error:
            fault = f"{described(raw)}, which {error}"
    if isinstance(value, Mapping):
        return value
    if is_left_out(value):
        fault = f"missing; the shortest form is{reading.table.example}{_ENV_LINES}"
    else:
        fault = f"{fault}; allowed: a mapping, or a string of one in JSON or YAML"
    reading.add("result_settings", fault)
    raise reading.error()


def _credentials(given: Mapping[object, object], table: Table, environ: Mapping[str, str]) -> Collection[str]:
    keys = [key for key in table.settings if key.is_credential]
    written = [value.strip() for value in (given.get(key.name) for key in keys) if isinstance(value, str)]
    secrets = [key.secret for key in keys]
    secrets += [literal[1].strip() for literal in map(_SECRET_LITERAL.fullmatch, written) if literal]
    looked_up = [environ.get(_variable(secret), "").strip() for secret in secrets]
    return frozenset(text for text in written + looked_up if len(text) >= 4)  # shorter ones are part of any text


def _given(reading: Reading, name: str, key: Setting, raw: object, environ: Mapping[str, str], show: Show) -> Given:
    try:
        secret = _secret_of(key, raw)
        if secret is not None:
            raw, show = _looked_up(secret, environ), described
        if is_left_out(raw):
            return Given(given=False, value=key.default)
        value = key.type.read(raw, show)
    except _MissingSecretError as missing:
        reading.add(name, str(missing), code="environment")
        return Given(given=True)
    except WrongValueError as wrong:
        reading.add(name, f"{wrong}; allowed: {key.type.allowed}")
        return Given(given=True)
    lost = key.type.is_id and secret is None and has_lost_digits(raw)
    return Given(given=True, value=value, secret=secret, lost_digits=lost)


class _MissingSecretError(Exception):
    """A workflow secret is not in the environment."""


def _secret_of(key: Setting, raw: object) -> str | None:
    """The workflow secret that a value comes from."""
    if is_left_out(raw) and key.is_credential:
        return key.secret
    if not isinstance(raw, str) or "${secret:" not in raw:
        return None
    literal = _SECRET_LITERAL.fullmatch(raw.strip())
    if not literal or not _SECRET_NAME.fullmatch(literal[1].strip()):
        raise WrongValueError("a secret must be the whole value, and its name letters, digits, dots and dashes")
    return literal[1].strip()


def _looked_up(secret: str, environ: Mapping[str, str]) -> str:
    variable = _variable(secret)
    value = environ.get(variable, "")
    if not value.strip():
        state = "empty" if variable in environ else "missing"
        raise _MissingSecretError(
            f"{variable} is {state} in the environment; set the workflow's secret {secret}, and give it to "
            f"the task as {variable}, under its _env (config/environment.yml has such lines)"
        )
    return value


def _variable(secret: str) -> str:
    return re.sub(r"[.-]", "_", secret).upper()


def drop_console_keys(given: Mapping[object, object], table: Table) -> dict[object, object]:
    """Return the settings without the keys that Audience Studio's console adds to its own, which a warning names."""
    added = [
        name
        for name in given
        if name not in table.by_name and _is_plain(name, shown) and _ADDED_BY_CONSOLE.fullmatch(name)
    ]
    if added:
        log.warning("the console's settings have keys that this operator does not know: %s", ", ".join(added))
    return {name: value for name, value in given.items() if name not in added}


def _is_plain(name: object, show: Show) -> TypeGuard[str]:
    """Whether a message may show a key unchanged."""
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None and show(name) == repr(name)


def _read_names(reading: Reading, unknown: Sequence[object], show: Show) -> None:
    """Keys that the table does not have."""
    for name in unknown[:_MAXIMUM_UNKNOWN_KEYS]:
        if not isinstance(name, str):
            reading.add("a key", f"{described(name)} is not a key's name; allowed: text")
        elif name in TASK_PARAMETERS:
            reading.add(name, "is not a key of result_settings; it belongs on the task, next to result_settings")
        else:
            label = name if _is_plain(name, show) else f"a key ({show(name)})"
            retired = reading.table.retired.get(name)
            advice = f"; {retired}" if retired else closest(name, [*reading.table.by_name, *TASK_PARAMETERS])
            reading.add(label, f"is unknown{advice}", code="unknown")
    if len(unknown) > _MAXIMUM_UNKNOWN_KEYS:
        reading.add("more keys", f"{len(unknown) - _MAXIMUM_UNKNOWN_KEYS} more are unknown")


def _join_aliases(reading: Reading) -> None:
    values = reading.values
    for key in reading.table.settings:
        if key.alias is not None and values[key.alias].given:
            _check_same(reading, key.name, key.alias)
            if not values[key.name].given:
                values[key.name] = replace(values[key.alias], given=False)  # warnings name what the author wrote


def _check_order(reading: Reading) -> None:
    for lower, upper in reading.table.ordered:
        low, high = reading.values[lower], reading.values[upper]
        # A lower bound that is a default gives way to the upper one.
        if low.given and low.value is not None and high.value is not None and low.value > high.value:
            default = reading.table.by_name[upper].default_text
            by_default = "" if high.given else f"; {upper} is {default} by default"
            reading.add(upper, f"is less than {lower}{by_default}; allowed: {lower} or more")


def _check_same(reading: Reading, name: str, other: str) -> None:
    """Two names of one thing must not differ."""
    first, second = (reading.values[each].value if reading.values[each].given else None for each in (name, other))
    if first is not None and second is not None and first != second:
        reading.add(name, f"conflicts with {other}, which has another value; allowed: one of the two, or equal values")


def _check_needed(reading: Reading) -> None:
    action = reading.action
    for key in reading.table.settings:
        if key.is_needed:
            _need(reading, key.name)
        elif action and key.name in action.needs:
            _need(reading, key.name, reason=f", and {action.name} needs it")
    if action and (name := action.audience_id):
        _check_same(reading, name, "audience_id")
        other = "audience_name" if action.finds_by_name else "audience_id"
        _need(reading, name, "audience_id", other, reason=f", and {action.name} needs it (or {other})")


def _need(reading: Reading, name: str, *others: str, reason: str = "") -> None:
    """One of these keys must be given; the first is the one that is missing."""
    if not any(reading.values[each].given for each in (name, *others)):
        allowed = reading.table.by_name[name].type.allowed
        reading.add(name, f"missing{reason}; allowed: {allowed}", code="missing")


def _check_restrictions(reading: Reading) -> None:
    """What restricts whom or how many an export sends is honoured by the action, or is an error."""
    if (action := reading.action) is None:
        return
    for key in reading.table.settings:
        given = reading.values[key.name]
        restricts = given.given and key.restricts_by(given.value)
        if restricts and not key.is_used_by(action) and not key.may_be_unused_by(action):
            reading.add(key.name, f"{action.name} cannot honour it; take it out, or choose an action that can")


def _check_expected_name(reading: Reading) -> None:
    """An audience that an action creates, or finds by its name, has the name that is expected."""
    action = reading.action
    if action is None or Scope.NEW_AUDIENCE not in action.scopes:
        return
    ids = ("audience_id", action.audience_id) if action.audience_id else ()
    name, expected = (reading.values[each] for each in ("audience_name", "expected_audience_name"))
    has_both = None not in (name.value, expected.value) and not any(reading.values[each].given for each in ids)
    if has_both and name.value != expected.value:
        text = f"differs from audience_name, which {action.name} gives to its audience; allowed: the same name"
        reading.add("expected_audience_name", text)


def _check_several(reading: Reading) -> None:
    """The ids have one name, or a single one has the other; both may be given if they agree."""
    if reading.table.several is None:
        return
    several, alone = reading.table.several
    many, single = reading.values[several].value, reading.values[alone].value
    _need(reading, several, alone, reason=f" (or {alone})")
    if many is not None and single is not None and single not in many:
        reading.add(several, f"conflicts with {alone}, which is not among them; allowed: one of the two")


def _check_columns(reading: Reading) -> None:
    columns, records, hash_in = (
        reading.values.get(name, _LEFT_OUT).value for name in ("columns", "records", "hash_in")
    )
    if hash_in is HashIn.WAREHOUSE and records is RecordsFormat.ROWS:
        reading.add("hash_in", "the warehouse hashes no records: rows; allowed: operator, or records: identifiers")
    if records is RecordsFormat.ROWS and (action := reading.action) and action.needs_query:
        reading.add("records", f"{action.name} sends no rows; allowed: {RecordsFormat.IDENTIFIERS.value}")
    if records is not RecordsFormat.ROWS and not set(KEYS_ONLY).isdisjoint((columns or {}).values()):
        allowed = f"allowed: {join_with_or(LISTED)}, or these with records: rows"
        reading.add("columns", f"{' and '.join(KEYS_ONLY)} are keys of a row; {allowed}")
