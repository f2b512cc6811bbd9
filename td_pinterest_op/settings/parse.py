"""`result_settings` of a task → one frozen, typed value, or one error that names every problem."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from td_pinterest_op.errors import ProblemCode, SettingProblem, SettingsError
from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, ROW_ONLY_TYPE_NAMES, TYPES, join_with_or
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.settings.structures import MAPPING_TYPE
from td_pinterest_op.settings.table import (
    CREDENTIAL_SETTINGS,
    FOR_THIS_RUN_PARAMETER,
    NON_SETTING_PARAMETERS,
    TASK_PARAMETERS,
    ActionSpec,
    ConnectionSettings,
    Setting,
    SettingsTable,
    build_variable_name,
    find_declared_settings,
)
from td_pinterest_op.settings.types import (
    LOST_DIGITS_WARNING,
    SettingType,
    WrongValueError,
    build_suggestion_text,
    describe_value,
    has_secret_reference,
    is_left_out,
    may_have_lost_digits,
)

# Not with a token in place of the name.
_VALID_SECRET_REFERENCE = re.compile(r"\$\{secret:\s*((?!pin[ar][._])[A-Za-z_][A-Za-z0-9_.-]{0,63})\s*\}")
_SettingsT = TypeVar("_SettingsT", bound=ConnectionSettings)


@dataclass(kw_only=True)
class ParsedSettings:
    """The values in `result_settings`, and every problem found in them."""

    table: SettingsTable[Any]
    given_values: dict[str, Any] = field(default_factory=dict)  # by name or alias; None for a wrong value
    refresh_token_secret: str | None = None
    for_this_run: tuple[str, ...] = ()
    warnings: list[SettingProblem] = field(default_factory=list)
    problems: list[SettingProblem] = field(default_factory=list)

    @property
    def values_with_defaults(self) -> dict[str, Any]:
        """The value of each setting: the default for one that is left out, None for a wrong value."""
        given = self.given_values
        return {key.name: given.get(key.name, given.get(key.alias, key.default)) for key in self.table.settings}

    @property
    def action(self) -> ActionSpec | None:
        """The action that the settings name, or the default. None for a wrong name, or a table without actions."""
        return self.values_with_defaults.get("action")

    @property
    def target_audience_id(self) -> str | None:
        """The id of the audience that the action changes, or None if it creates one, or the settings name none."""
        values = self.values_with_defaults
        own = self.action.audience_id if self.action else "audience_id"
        return own and (values.get(own) or values.get("audience_id"))

    @property
    def keys_unused_by_action(self) -> list[str]:
        """The given keys that the action does not use, in the order of the table."""
        action = self.action
        keys = self.table.by_name.items()
        return [name for name, key in keys if action and name in self.given_values and not key.is_used_by(action)]

    def add_problem(self, name: str, text: str, *, code: ProblemCode = "wrong") -> None:
        """Add a problem with a setting."""
        self.problems.append(SettingProblem(key=name, code=code, text=f"{name}: {text}"))

    def add_problem_if_different(self, name: str, other: str) -> None:
        """Add a problem if two settings are given with different values."""
        values = [self.given_values.get(name), self.given_values.get(other)]
        if None not in values and values[0] != values[1]:
            text = f"conflicts with {other}, which has another value; allowed: one of the two, or equal values"
            self.add_problem(name, text)

    def add_problem_if_missing(self, name: str, *alternatives: str, reason: str = "") -> None:
        """Add the problem "missing" unless a setting or an alternative is given. `reason`: what follows "missing"."""
        if self.given_values.keys().isdisjoint((name, *alternatives)):
            allowed = self.table.by_name[name].type.allowed
            others = f" (or {alternatives[-1]})" if alternatives else ""
            text = f"{name}: missing{reason}{others}; allowed: {allowed}"
            self.problems.append(SettingProblem(key=name, code="missing", text=text, others=alternatives))


def parse_settings(raw: object, *, table: SettingsTable[_SettingsT], environ: Mapping[str, str]) -> _SettingsT:
    """Return the settings in `raw`, a mapping or its JSON or YAML text.

    `environ`: the variables with the credentials that are left out, or are `${secret:…}`. Raises SettingsError, whose
    message has a line for each problem, and no credential.
    """
    settings: _SettingsT = build_settings(parse_values(parse_raw_settings(raw), table=table, environ=environ))
    return settings


def build_settings(parsed: ParsedSettings) -> Any:
    """Return parsed values as an instance of the table's settings class. Raises SettingsError for problems."""
    if parsed.problems:
        lines = [f"- {problem.text}" for problem in parsed.problems]
        heading = f"result_settings has {format_count(len(lines), 'problem')}:"
        raise SettingsError("\n".join([heading, *lines]), problems=parsed.problems)
    action = parsed.action
    given = parsed.values_with_defaults
    keys = find_declared_settings(parsed.table.settings_class)
    values = {key.name: given.get(key.name, key.default) for key in keys}
    warnings = list(parsed.warnings)
    if action:
        values |= {key.name: key.default for key in keys if not key.is_used_by(action)}
        values |= {"action": action, "audience_id": parsed.target_audience_id}
        if action.least_records and "min_records" not in parsed.given_values:
            values["min_records"] = min(action.least_records, values["max_records"] or action.least_records)
        if parsed.keys_unused_by_action:
            text = f"{action.name} does not use these settings: {', '.join(parsed.keys_unused_by_action)}"
            warnings.append(SettingProblem(key=parsed.keys_unused_by_action[0], code="unused", text=text))
    return parsed.table.settings_class(
        **values,
        refresh_token_secret=parsed.refresh_token_secret,
        for_this_run=parsed.for_this_run,
        warnings=tuple(warnings),
    )


def parse_raw_settings(value: object, *, place: str = "result_settings") -> Mapping[object, object]:
    """Return unchecked settings, given as a mapping or as JSON or YAML text, or {} for a blank value.

    Raises SettingsError for any other value, which it calls `place`.
    """
    return parse_parameter(place, value, MAPPING_TYPE) or {}


def parse_parameter(name: str, value: object, type_: SettingType) -> Any:
    """Return a task's parameter in its type, or None for null or blank text.

    Raises SettingsError, which names the parameter, for a wrong value.
    """
    try:
        return None if is_left_out(value) else type_.parse(value)
    except WrongValueError as error:
        raise SettingsError(f"{name}: {error}; allowed: {type_.allowed}", key=name) from None


def parse_known_setting(name: str, settings: Mapping[Any, object], *, table: SettingsTable[Any]) -> Any:
    """Return the value of one of the unchecked `settings`, or its default.

    Returns None for a wrong value, and if the table has no such setting.
    """
    key = table.by_name.get(name)
    if key is None:
        return None
    value = next((each for each in map(settings.get, (key.name, key.alias)) if not is_left_out(each)), None)
    if value is None:
        return key.default
    try:
        return None if has_secret_reference(value) else key.type.parse(value)
    except WrongValueError:
        return None


def find_action_spec(settings: Mapping[Any, object], *, table: SettingsTable[Any]) -> ActionSpec | None:
    """Return the action that unchecked settings name, or the default, as `ParsedSettings.action` does."""
    action: ActionSpec | None = parse_known_setting("action", settings, table=table)
    return action


def find_target_audience_id(
    settings: Mapping[Any, object], action: ActionSpec | None, *, table: SettingsTable[Any]
) -> str | None:
    """Return the id of the audience that `action` changes, as `ParsedSettings.target_audience_id` does."""
    own = action.audience_id if action else "audience_id"
    if own is None:
        return None
    values = [parse_known_setting(name, settings, table=table) for name in (own, "audience_id")]
    return next((value for value in values if isinstance(value, str)), None)


def parse_values(
    settings: Mapping[Any, object],
    *,
    table: SettingsTable[Any],
    environ: Mapping[str, str],
    for_this_run: Mapping[str, object] = MappingProxyType({}),
) -> ParsedSettings:
    """Return the parsed values of `settings`, and every problem in them. `for_this_run` replaces some settings."""
    parsed = ParsedSettings(table=table, for_this_run=tuple(for_this_run))
    whole = {**settings, **for_this_run}
    lost_digits = []
    # Each value that became a `Secret` is masked in all messages: first those of the environment, even if the settings
    # have others, then those of the settings.
    for key in CREDENTIAL_SETTINGS:
        Secret(environ.get(build_variable_name(key.secret_name), "").strip())
    credentials_first = sorted(table.by_name.items(), key=lambda item: not item[1].is_credential)
    for name, key in credentials_first:
        value = whole.get(name)
        if key.type.is_id and may_have_lost_digits(value):
            lost_digits.append(name)
        if key.is_credential:
            value = _find_credential(parsed, key, value, environ)
        elif key.restricts and name in settings and is_left_out(settings[name]):
            # A template that rendered to nothing must not let everybody through, whatever another place says.
            parsed.add_problem(name, "is blank; give it a value, or leave the line out", code="value")
            continue
        elif is_left_out(value):
            continue
        elif has_secret_reference(value):
            value = None
            text = (
                "names a secret of the workflow, as only client_id, client_secret and refresh_token may; "
                "allowed: the value itself"
            )
            parsed.add_problem(name, text)
        parsed.given_values[name] = None
        if value is not None:
            try:
                parsed.given_values[name] = key.type.parse(value)
            except WrongValueError as wrong:
                parsed.add_problem(name, f"{wrong}; allowed: {key.type.allowed}", code="value")
    if lost_digits:
        text = f"{LOST_DIGITS_WARNING}: {', '.join(lost_digits)}"
        parsed.warnings.append(SettingProblem(key=lost_digits[0], code="digits", text=text))
    _add_unknown_key_problems(parsed, whole)
    for key in table.settings:
        _add_setting_problems(parsed, key)
    if parsed.action:
        _add_action_problems(parsed, parsed.action)
    _add_combination_problems(parsed)
    return parsed


def _add_unknown_key_problems(parsed: ParsedSettings, keys: Iterable[object]) -> None:
    for key in keys:
        if key in parsed.table.by_name:
            continue
        name = describe_value(key).strip("'")
        if key in (*TASK_PARAMETERS, *NON_SETTING_PARAMETERS):
            owner = "a run, given with `-p`" if key == FOR_THIS_RUN_PARAMETER else "the task"
            parsed.add_problem(name, f"is not a key of result_settings, but a parameter of {owner}", code="unknown")
        else:
            known = [*parsed.table.by_name, *TASK_PARAMETERS]
            suggestion = build_suggestion_text(key, known) if isinstance(key, str) else ""
            parsed.add_problem(name, f"is unknown{suggestion}", code="unknown")


def _find_credential(parsed: ParsedSettings, key: Setting, raw: object, environ: Mapping[str, str]) -> object:
    """Return a credential: `raw`, or the value in `environ` of the secret that `raw` names, or else of the key's own.

    Without a value, add a problem and return None.
    """
    secret = key.secret_name
    if not is_left_out(raw):
        if not has_secret_reference(raw):
            return raw
        reference = _VALID_SECRET_REFERENCE.fullmatch(str(raw).strip())
        if reference is None or build_variable_name(reference[1]) in ("TD_API_KEY", "TD_APIKEY"):
            parsed.add_problem(
                key.name,
                "is no reference to a secret of the Pinterest app; allowed: a dollar sign, then "
                f"{{secret:{secret}}} or another name of letters, digits, dots and dashes, without a space",
            )
            return None
        secret = reference[1]
    if key.name == "refresh_token":
        parsed.refresh_token_secret = secret
    variable = build_variable_name(secret)
    value = environ.get(variable)
    if is_left_out(value):
        text = (
            f"{variable} is missing or blank in the environment; set the workflow's secret {secret}, and give it to "
            f"the task as {variable}, under its _env (config/environment.yml has such lines)"
        )
        parsed.add_problem(key.name, text, code="environment")
        return None
    return value


def _add_setting_problems(parsed: ParsedSettings, setting: Setting) -> None:
    aliases = [setting.alias] if setting.alias else []
    if setting.is_needed:
        parsed.add_problem_if_missing(setting.name, *aliases)
    for alias in aliases:
        parsed.add_problem_if_different(setting.name, alias)


def _add_action_problems(parsed: ParsedSettings, action: ActionSpec) -> None:
    given = parsed.given_values
    needed_by = f", and {action.name} needs it"
    id_key = action.audience_id
    for name in action.needs:
        parsed.add_problem_if_missing(name, reason=needed_by)
    if id_key:
        parsed.add_problem_if_different(id_key, "audience_id")
        other = "audience_name" if action.finds_by_name else "audience_id"
        parsed.add_problem_if_missing(id_key, "audience_id", other, reason=needed_by)
    for name in parsed.keys_unused_by_action:
        key = parsed.table.by_name[name]
        harmless = key.default if key.harmless is None else key.harmless
        if key.restricts and given[name] not in (None, harmless) and (action.reads_rows or not key.limits_rows):
            text = f"{action.name} cannot apply this setting: remove it, or choose an action that can"
            parsed.add_problem(name, text)
    if "if_exists" in action.uses and given.get("max_leave_ratio") not in (None, 1.0):
        if_exists = given.get("if_exists", "fail")
        if if_exists not in ("replace", None):  # None: a wrong value, which has its own problem
            text = f"{action.name} cannot apply this setting unless if_exists is replace"
            parsed.add_problem("max_leave_ratio", text)
    is_found_by_id = id_key and not given.keys().isdisjoint(("audience_id", id_key))
    if "new audience" in action.scopes and not is_found_by_id:
        audience_name = given.get("audience_name")
        expected = given.get("expected_audience_name")
        if None not in (audience_name, expected) and audience_name != expected:
            text = f"differs from audience_name, which {action.name} gives to its audience; allowed: the same name"
            parsed.add_problem("expected_audience_name", text)


def _add_combination_problems(parsed: ParsedSettings) -> None:
    values = parsed.values_with_defaults
    action = parsed.action
    unit = values.get("records", "identifiers")  # None: a wrong value, which has its own problem
    has_rows = unit == "rows"
    if unit == "identifiers" and not set(ROW_ONLY_TYPE_NAMES).isdisjoint((values.get("columns") or {}).values()):
        allowed = f"allowed: {join_with_or(CUSTOMER_LIST_TYPES)}, or these with records: rows"
        text = f"{' and '.join(ROW_ONLY_TYPE_NAMES)} can be used only with records: rows; {allowed}"
        parsed.add_problem("columns", text)
    if has_rows and values.get("hash_in") == "warehouse":
        text = "the warehouse cannot hash identifiers with records: rows; allowed: operator, or records: identifiers"
        parsed.add_problem("hash_in", text)
    if has_rows and action and action.needs_query:
        parsed.add_problem("records", f"{action.name} cannot send records: rows; allowed: identifiers")
    if values.get("rejected"):
        parsed.add_problem_if_missing("rejected_keys", reason=", and rejected needs it")
    identifier_columns = {*TYPES, *(values.get("columns") or ())}
    if wrong := sorted(identifier_columns.intersection(values.get("rejected_keys") or ())):
        text = f"must not name a column of identifiers, as {', '.join(map(describe_value, wrong))} is"
        parsed.add_problem("rejected_keys", f"{text}; allowed: columns with your own keys of people")
