"""`result_settings` of a task → one frozen, typed value for each entry point, or one error that names every problem."""

import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, TypeVar

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.settings.action import ActionSpec
from td_pinterest_op.settings.key_names import check_names
from td_pinterest_op.settings.parsed_settings import ParsedSettings
from td_pinterest_op.settings.rules import check_rules
from td_pinterest_op.settings.setting import Setting, SettingsTable, build_variable_name, find_declared_settings
from td_pinterest_op.settings.structures import read_mapping
from td_pinterest_op.settings.table import CREDENTIALS, ConnectionSettings
from td_pinterest_op.settings.text import parse_text
from td_pinterest_op.settings.types import (
    Show,
    WrongValueError,
    describe_type,
    has_lost_digits,
    is_left_out,
    show_value,
)

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
        parsed.add_problem("result_settings", f"{error}; allowed: a mapping, or a JSON or YAML string of one")
        raise parsed.build_error() from None
    if is_left_out(content):
        parsed.add_problem("result_settings", "missing; allowed: a mapping of settings", code="missing")
    show = partial(show_value, hidden=_find_credentials(mapping, environ))
    for name, key in table.by_name.items():
        parsed.values[name] = _read_value(parsed, name, key, mapping.get(name), environ=environ, show=show)
    check_names(parsed, mapping, show)
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
