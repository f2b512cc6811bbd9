"""`result_settings` of a task → one frozen, typed value for each door, or one error that names every problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.settings import text as setting_text
from td_pinterest_op.settings.action import ActionSpec
from td_pinterest_op.settings.key_names import check_names
from td_pinterest_op.settings.parsed_settings import ParsedSettings
from td_pinterest_op.settings.rules import check_rules
from td_pinterest_op.settings.setting import Table, declared_settings
from td_pinterest_op.settings.table import (
    CONNECTION,
    ERASURE,
    STATUS,
    ConnectionSettings,
    ErasureSettings,
    Settings,
    StatusSettings,
)
from td_pinterest_op.settings.types import describe, is_left_out, show_value
from td_pinterest_op.settings.values import credentials_in, read_value

_ENV_LINES = """\
    _env:
      !include : config/environment.yml"""

_C = TypeVar("_C", bound=ConnectionSettings)


def parse(raw: object, *, table: Table, environ: Mapping[str, str]) -> Settings:
    """Return the settings of an export.

    Args:
        raw: `result_settings` as digdag passes it: a mapping, or JSON or YAML text of one.
        table: the settings that there are, and the actions.
        environ: where credentials that are left out, and `${secret:…}` in any setting, are looked up.

    Raises:
        SettingsError: with every problem, a line each. It holds no credential, given or looked up.
    """
    parsed = _parse_valid(raw, table=table, environ=environ)
    action: ActionSpec = parsed.value("action")
    unused = {key.name: key.default for key in declared_settings(Settings) if not key.is_used_by(action)}
    minimum = {"min_records": _minimum_records(action, parsed)}
    return _build(Settings, parsed, **{**unused, **minimum, "audience_id": _audience_id(action, parsed)})


def parse_status(raw: object, *, environ: Mapping[str, str]) -> StatusSettings:
    """Return the settings of `AudienceStatus`. Arguments and errors: see `parse`."""
    parsed = _parse_valid(raw, table=STATUS, environ=environ)
    return _build(StatusSettings, parsed, audience_ids=_ids(parsed))


def parse_erasure(raw: object, *, environ: Mapping[str, str]) -> ErasureSettings:
    """Return the settings of `PinterestErase`. Arguments and errors: see `parse`."""
    parsed = _parse_valid(raw, table=ERASURE, environ=environ)
    ids = _ids(parsed)
    return _build(ErasureSettings, parsed, ad_account_ids=ids, ad_account_id=ids[0])


def parse_connection(raw: object, *, environ: Mapping[str, str]) -> ConnectionSettings:
    """Return the connection keys alone, for a door that has no settings of its own. Arguments and errors: see `parse`.

    Without `ad_account_id` that of the result is empty.
    """
    parsed = _parse_valid(raw, table=CONNECTION, environ=environ)
    return _build(ConnectionSettings, parsed, ad_account_id=parsed.value("ad_account_id") or "")


def action_of(raw: object, *, table: Table) -> ActionSpec | None:
    """Return the action that `result_settings` name, whatever else is wrong with them; None if that is not clear."""
    try:
        return parse_all(raw, table=table, environ={}).action
    except SettingsError:
        return None


def parse_all(raw: object, *, table: Table, environ: Mapping[str, str]) -> ParsedSettings:
    """Return the values of `result_settings` with every problem. Arguments: see `parse`.

    Raises SettingsError if `raw` is not a mapping.
    """
    parsed = ParsedSettings(table=table)
    mapping = _mapping(raw, parsed)
    show = partial(show_value, hidden=credentials_in(mapping, table, environ))
    for name, key in table.by_name.items():
        parsed.values[name] = read_value(parsed, name, key, mapping.get(name), environ=environ, show=show)
    check_names(parsed, mapping, show)
    check_rules(parsed)
    return parsed


def _mapping(raw: object, parsed: ParsedSettings) -> Mapping[object, object]:
    fault, value = f"{describe(raw)} is not a mapping", raw
    if isinstance(raw, str):
        try:
            value = setting_text.load(raw)
        except setting_text.UnreadableTextError as error:
            fault = f"{describe(raw)}, which {error}"
    if isinstance(value, Mapping):
        return value
    if is_left_out(value):
        fault = f"missing; the shortest form is{parsed.table.example}{_ENV_LINES}"
    else:
        fault = f"{fault}; allowed: a mapping, or a JSON or YAML string of one"
    parsed.add_problem("result_settings", fault)
    raise parsed.error()


def _parse_valid(raw: object, *, table: Table, environ: Mapping[str, str]) -> ParsedSettings:
    """Return the values of settings without a problem. Raises SettingsError with all that there are."""
    parsed = parse_all(raw, table=table, environ=environ)
    if parsed.problems:
        raise parsed.error()
    return parsed


def _audience_id(action: ActionSpec, parsed: ParsedSettings) -> str | None:
    if not action.audience_id:
        return None
    own: str | None = parsed.value(action.audience_id)
    other: str | None = parsed.value("audience_id")
    return own or other


def _minimum_records(action: ActionSpec, parsed: ParsedSettings) -> int | None:
    minimum: int | None = parsed.value("min_records")
    maximum: int | None = parsed.value("max_records")
    default = action.least_records
    if parsed.is_given("min_records") or default is None:
        return minimum if action.reads_rows else None
    return default if maximum is None else min(default, maximum)


def _ids(parsed: ParsedSettings) -> tuple[str, ...]:
    """Return the ids that the door needs: those of the list, else the single one."""
    ids, single = (parsed.value(name) for name in parsed.table.several or ())
    return ids or (single,)


def _build(kind: type[_C], parsed: ParsedSettings, **others: Any) -> _C:
    """Return a value of `kind` from what was parsed; `others` win. What the table lacks has its default."""
    values: dict[str, Any] = {key.name: key.default for key in declared_settings(kind)}
    values |= {each.name: parsed.value(each.name) for each in fields(kind) if each.name in parsed.values}
    values |= {key.name: Secret(values[key.name]) for key in declared_settings(kind) if key.is_credential}
    values |= {"unused_warning": parsed.unused_warning(), "lost_digits_warning": parsed.lost_digits_warning()}
    return kind(**{**values, "refresh_token_secret": parsed.values["refresh_token"].secret, **others})
