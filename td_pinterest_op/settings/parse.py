"""`result_settings` of a task → one frozen, typed value for each door, or one error that names every problem."""

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
from td_pinterest_op.settings.setting import Table, find_declared_settings
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
from td_pinterest_op.settings.values import find_credentials, read_value

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
    unused = {key.name: key.default for key in find_declared_settings(Settings) if not key.is_used_by(action)}
    minimum = {"min_records": _compute_minimum_records(action, parsed)}
    return _build_settings(Settings, parsed, **{**unused, **minimum, "audience_id": _get_audience_id(action, parsed)})


def parse_status(raw: object, *, environ: Mapping[str, str]) -> StatusSettings:
    """Return the settings of `AudienceStatus`. For arguments and errors see `parse`."""
    parsed = _parse_valid(raw, table=STATUS, environ=environ)
    return _build_settings(StatusSettings, parsed, audience_ids=_get_audience_ids(parsed))


def parse_erasure(raw: object, *, environ: Mapping[str, str]) -> ErasureSettings:
    """Return the settings of `PinterestErase`. For arguments and errors see `parse`."""
    parsed = _parse_valid(raw, table=ERASURE, environ=environ)
    ids = _get_audience_ids(parsed)
    return _build_settings(ErasureSettings, parsed, ad_account_ids=ids, ad_account_id=ids[0])


def parse_connection(raw: object, *, environ: Mapping[str, str]) -> ConnectionSettings:
    """Return the connection settings alone, for an entry point without others. Arguments, errors: see `parse`.

    Without `ad_account_id` that of the result is empty.
    """
    parsed = _parse_valid(raw, table=CONNECTION, environ=environ)
    return _build_settings(ConnectionSettings, parsed, ad_account_id=parsed.value("ad_account_id") or "")


def find_action(raw: object, *, table: Table) -> ActionSpec | None:
    """Return the action that `result_settings` name, even if others are wrong; None if it is not clear."""
    try:
        return parse_all(raw, table=table, environ={}).action
    except SettingsError:
        return None


def parse_all(raw: object, *, table: Table, environ: Mapping[str, str]) -> ParsedSettings:
    """Return the values of `result_settings` with every problem. For arguments see `parse`.

    Raises SettingsError if `raw` is not a mapping.
    """
    parsed = ParsedSettings(table=table)
    mapping = _read_mapping(raw, parsed)
    show = partial(show_value, hidden=find_credentials(mapping, table, environ))
    for name, key in table.by_name.items():
        parsed.values[name] = read_value(parsed, name, key, mapping.get(name), environ=environ, show=show)
    check_names(parsed, mapping, show)
    check_rules(parsed)
    return parsed


def _read_mapping(raw: object, parsed: ParsedSettings) -> Mapping[object, object]:
    """Return `result_settings` as a mapping. Raises SettingsError for any other value."""
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
    """Return the values of `result_settings`. Raises SettingsError with all problems if there are any."""
    parsed = parse_all(raw, table=table, environ=environ)
    if parsed.problems:
        raise parsed.error()
    return parsed


def _get_audience_id(action: ActionSpec, parsed: ParsedSettings) -> str | None:
    """Return the audience's id, from the action's own setting or from `audience_id`."""
    if not action.audience_id:
        return None
    own: str | None = parsed.value(action.audience_id)
    other: str | None = parsed.value("audience_id")
    return own or other


def _compute_minimum_records(action: ActionSpec, parsed: ParsedSettings) -> int | None:
    """Return the fewest records to send, by the settings or the action's default; None for no minimum."""
    minimum: int | None = parsed.value("min_records")
    maximum: int | None = parsed.value("max_records")
    default = action.least_records
    if parsed.is_given("min_records") or default is None:
        return minimum if action.reads_rows else None
    return default if maximum is None else min(default, maximum)


def _get_audience_ids(parsed: ParsedSettings) -> tuple[str, ...]:
    """Return the ids of several audiences: those in the list, else the single one."""
    ids, single = (parsed.value(name) for name in parsed.table.several or ())
    return ids or (single,)


def _build_settings(kind: type[_C], parsed: ParsedSettings, **others: Any) -> _C:
    """Return settings of the class `kind` from parsed values. `others` win; missing values are defaults."""
    values: dict[str, Any] = {key.name: key.default for key in find_declared_settings(kind)}
    values |= {each.name: parsed.value(each.name) for each in fields(kind) if each.name in parsed.values}
    values |= {key.name: Secret(values[key.name]) for key in find_declared_settings(kind) if key.is_credential}
    values |= {"unused_warning": parsed.unused_warning(), "lost_digits_warning": parsed.lost_digits_warning()}
    return kind(**{**values, "refresh_token_secret": parsed.values["refresh_token"].secret, **others})
