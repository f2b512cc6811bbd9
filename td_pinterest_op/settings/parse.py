"""`result_settings` of a task → one frozen, typed value for each entry point, or one error that names every problem."""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, TypeGuard, TypeVar

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.settings.rules import check_rules
from td_pinterest_op.settings.setting import (
    ActionSpec,
    ParsedSettings,
    Setting,
    SettingsTable,
    build_variable_name,
    find_declared_settings,
)
from td_pinterest_op.settings.structures import read_mapping
from td_pinterest_op.settings.table import CREDENTIALS, ConnectionSettings
from td_pinterest_op.settings.text import parse_text
from td_pinterest_op.settings.types import (
    SettingType,
    Show,
    WrongValueError,
    describe_type,
    find_nearest,
    has_lost_digits,
    is_left_out,
    show_value,
    suggest_word,
)
from td_pinterest_op.stats import LISTS

log = logging.getLogger(__name__)

TASK_PARAMETERS = ("query", "database", "engine", "job_id", *LISTS)
"""The parameters that an export reads; digdag passes on every other parameter of the workflow as well."""

_MAXIMUM_UNKNOWN_KEYS = 20
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Keys that Audience Studio's console adds to the settings that it passes on: td_…, _…, type and …Type.
_ADDED_BY_CONSOLE = re.compile(r"(?:td)?_.*|.*type", re.IGNORECASE)
_SECRET_LITERAL = re.compile(r"\$\{secret:([^{}]*)\}")
_SECRET_NAME = re.compile(r"(?!pin[ar][._])[A-Za-z_][A-Za-z0-9_.-]{0,63}")  # not a token in place of a name

_C = TypeVar("_C", bound=ConnectionSettings)


def parse_settings(raw: object, *, table: SettingsTable[_C], environ: Mapping[str, str]) -> _C:
    """Parse `result_settings`, and return the settings of an entry point.

    Args:
        raw: `result_settings` as digdag passes it: a mapping, or JSON or YAML text of one.
        table: the settings that there are, and the actions.
        environ: where credentials that are left out, and `${secret:…}` in any setting, are looked up.

    Raises:
        SettingsError: with every problem, a line each. It holds no credential, given or looked up.
    """
    parsed = parse_values(raw, table=table, environ=environ)
    if parsed.problems:
        raise parsed.build_error()
    keys = find_declared_settings(table.kind)
    values = {key.name: parsed.values.get(key.name, key.default) for key in keys}
    values |= {key.name: Secret(values[key.name]) for key in keys if key.is_credential}
    for key in keys:
        if key.single:
            values[key.name] = values[key.name] or (values[key.single],)
            values[key.single] = values[key.name][0]
    values["ad_account_id"] = values["ad_account_id"] or ""
    if action := parsed.action:
        values |= {key.name: key.default for key in keys if not key.is_used_by(action)}
        ids = map(parsed.values.get, (action.audience_id, "audience_id") if action.audience_id else ())
        values |= {"action": action, "audience_id": next(filter(None, ids), None)}
        if action.least_records and "min_records" not in parsed.given:
            values["min_records"] = min(action.least_records, values["max_records"] or action.least_records)
    return table.kind(**values, **_build_warnings(parsed), refresh_token_secret=parsed.secrets.get("refresh_token"))


def read_parameter(name: str, value: object, type_: SettingType) -> Any:
    """Return the value of a task's parameter, or None if it is left out. Raises SettingsError for a wrong value."""
    try:
        return None if is_left_out(value) else type_.read(value, show_value)
    except WrongValueError as error:
        raise SettingsError(f"{name}: {error}; allowed: {type_.allowed}", key=name) from None


def _build_warnings(parsed: ParsedSettings) -> dict[str, Any]:
    """Return the warnings about the settings, as the fields `warnings` and `lost_digits_warning`."""
    lost_digits_warning = unused_warning = ""
    if parsed.lost_digits:
        lost_digits_warning = (
            "digdag may have changed the last digits of these ids (numbers over 2^53, or more than 16 digits that end "
            f"in zeros); put them in quotes where they are first written: {', '.join(parsed.lost_digits)}"
        )
    if parsed.action and (unused := parsed.find_unused_keys(parsed.action)):
        unused_warning = f"{parsed.action.name} does not use these settings: {', '.join(unused)}"
    warnings = tuple(filter(None, (unused_warning, lost_digits_warning)))
    return {"warnings": warnings, "lost_digits_warning": lost_digits_warning}


def find_action(raw: object, *, table: SettingsTable[Any]) -> ActionSpec | None:
    """Return the action that `result_settings` name, or None if it is unknown. Ignores problems of other settings."""
    try:
        return parse_values(raw, table=table, environ={}).action
    except SettingsError:
        return None


def parse_values(raw: object, *, table: SettingsTable[Any], environ: Mapping[str, str]) -> ParsedSettings:
    """Return the parsed values of `result_settings`, with every problem. The arguments are those of `parse_settings`.

    Raises SettingsError if `raw` is not a mapping.
    """
    parsed = ParsedSettings(table=table)
    try:
        content = parse_text(raw) if isinstance(raw, str) else raw
        mapping = {} if is_left_out(content) else read_mapping(content)
    except WrongValueError as error:
        parsed.add_problem("result_settings", f"{error}; allowed: a mapping, or a mapping as a JSON or YAML string")
        raise parsed.build_error() from None
    if is_left_out(content):
        parsed.add_problem("result_settings", "missing; allowed: a mapping of settings", code="missing")
    show = partial(show_value, hidden=_find_credentials(mapping, environ))
    for name, key in table.by_name.items():
        parsed.values[name] = _read_value(parsed, name, key, mapping.get(name), environ=environ, show=show)
    _check_names(parsed, mapping, show)
    check_rules(parsed)
    return parsed


def _find_credentials(settings: Mapping[object, object], environ: Mapping[str, str]) -> Collection[str]:
    """Return the credentials that the settings contain or refer to, which no message may show."""
    written = [value.strip() for value in (settings.get(key.name) for key in CREDENTIALS) if isinstance(value, str)]
    secrets = [key.secret for key in CREDENTIALS]
    secrets += [literal[1].strip() for literal in map(_SECRET_LITERAL.fullmatch, written) if literal]
    values = [environ.get(build_variable_name(secret), "").strip() for secret in secrets]
    return frozenset(text for text in written + values if len(text) >= 4)  # shorter ones are part of any text


def _read_value(
    parsed: ParsedSettings, name: str, key: Setting, raw: object, *, environ: Mapping[str, str], show: Show
) -> Any:
    """Return the value of a key, or its default if it is left out. Adds a problem and returns None if it is wrong."""
    if is_left_out(raw) and not key.is_credential:
        return key.default
    parsed.given.add(name)
    try:
        secret = _find_secret_name(key, raw)
        if secret is not None:
            variable, show = build_variable_name(secret), describe_type
            raw = environ.get(variable, "")
            if not raw.strip():
                text = (
                    f"{variable} is {'empty' if variable in environ else 'missing'} in the environment; set the "
                    f"workflow's secret {secret}, and give it to the task as {variable}, under its _env "
                    "(config/environment.yml has such lines)"
                )
                parsed.add_problem(name, text, code="environment")
                return None
            parsed.secrets[name] = secret
        elif key.type.is_id and has_lost_digits(raw):
            parsed.lost_digits.append(name)
        return key.type.read(raw, show)
    except WrongValueError as wrong:
        parsed.add_problem(name, f"{wrong}; allowed: {key.type.allowed}")
        return None


def _find_secret_name(key: Setting, raw: object) -> str | None:
    """Return the name of the workflow secret that contains the value, or None. Raises WrongValueError."""
    if is_left_out(raw):  # a credential
        return key.secret
    if not isinstance(raw, str) or "${secret:" not in raw:
        return None
    literal = _SECRET_LITERAL.fullmatch(raw.strip())
    if not literal or not _SECRET_NAME.fullmatch(literal[1].strip()):
        raise WrongValueError(
            "the reference to a secret must be the whole value, and the secret's name may contain only letters, "
            "digits, dots and dashes"
        )
    return literal[1].strip()


def _check_names(parsed: ParsedSettings, settings: Mapping[object, object], show: Show) -> None:
    """Add a problem to `parsed` for each unknown key of `settings`. `show`: formats a value for a message."""
    unknown = [name for name in settings if name not in parsed.table.by_name]
    for name in unknown[:_MAXIMUM_UNKNOWN_KEYS]:
        if not isinstance(name, str):
            parsed.add_problem("a key", f"the name of a key must be a string, not {describe_type(name)}")
        elif name in TASK_PARAMETERS:
            text = "is not a key of result_settings; it belongs on the task, next to result_settings"
            parsed.add_problem(name, text)
        else:
            label = name if _may_be_shown(name, show) else f"a key ({show(name)})"
            suggestion = suggest_word(name, [*parsed.table.by_name, *TASK_PARAMETERS])
            parsed.add_problem(label, f"is unknown{suggestion}", code="unknown")
    if len(unknown) > _MAXIMUM_UNKNOWN_KEYS:
        parsed.add_problem("more keys", f"{len(unknown) - _MAXIMUM_UNKNOWN_KEYS} more keys are unknown")


def drop_console_keys(settings: Mapping[object, object], table: SettingsTable[Any]) -> dict[object, object]:
    """Return the settings without unknown keys that Audience Studio's console adds. Logs a warning with their names."""
    unknown = [name for name in settings if name not in table.by_name and _may_be_shown(name, show_value)]
    added = list(filter(_ADDED_BY_CONSOLE.fullmatch, unknown))
    if added:
        log.warning(
            "the settings from the console have keys that this operator does not know, which are ignored: %s",
            ", ".join(added),
        )
    return {name: value for name, value in settings.items() if name not in added}


def find_misspelt_parameters(names: Iterable[object]) -> Mapping[str, str]:
    """Return the names that look like misspelt task parameters, with the parameter that each resembles.

    A variable of the workflow that contains a parameter's name (`td_database`) is not a misspelling, nor is a name like
    a parameter that is given as well.
    """
    keys = {name for name in names if isinstance(name, str)}
    left = [name for name in TASK_PARAMETERS if name not in keys]
    near = {name: find_nearest(name.lower(), left, cutoff=0.8) for name in keys.difference(TASK_PARAMETERS)}
    return {name: meant for name, meant in sorted(near.items()) if meant and meant not in name.split("_")}


def _may_be_shown(name: object, show: Show) -> TypeGuard[str]:
    """Whether a message may contain the key `name` unchanged. `show`: formats a value for a message."""
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None and show(name) == repr(name)
