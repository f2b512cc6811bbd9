"""Rules about several settings at once. Each adds what is wrong to the problems."""

from dataclasses import replace

from td_pinterest_op.identifiers.types import KEYS_ONLY, LISTED, join_with_or
from td_pinterest_op.settings.action import Scope
from td_pinterest_op.settings.parsed_settings import ParsedSettings
from td_pinterest_op.settings.table import HashIn, RecordsFormat


def check_rules(parsed: ParsedSettings) -> None:
    """Check the settings against each other, and give the value of an alias to the setting that it names."""
    _join_aliases(parsed)
    _check_order(parsed)
    _check_needed(parsed)
    _check_restrictions(parsed)
    _check_expected_name(parsed)
    _check_several(parsed)
    _check_records(parsed)


def _join_aliases(parsed: ParsedSettings) -> None:
    """Give the value of each alias to the setting that it names. Adds a problem if both are given and differ."""
    values = parsed.values
    for key in parsed.table.settings:
        if key.alias is not None and parsed.is_given(key.alias):
            _check_same(parsed, key.name, key.alias)
            if not parsed.is_given(key.name):
                values[key.name] = replace(values[key.alias], is_given=False)  # warnings name what the author wrote


def _check_order(parsed: ParsedSettings) -> None:
    """Add a problem for each pair of settings whose first value is greater than the second."""
    for lower, upper in parsed.table.ordered:
        low, high = parsed.value(lower), parsed.value(upper)
        # A lower bound that is a default gives way to the upper one.
        if parsed.is_given(lower) and low is not None and high is not None and low > high:
            default = parsed.table.by_name[upper].default_text
            by_default = "" if parsed.is_given(upper) else f"; {upper} is {default} by default"
            parsed.add_problem(upper, f"is less than {lower}{by_default}; allowed: {lower} or more")


def _check_same(parsed: ParsedSettings, name: str, other: str) -> None:
    """Add a problem if two keys for the same setting have different values."""
    first, second = (parsed.value(each) if parsed.is_given(each) else None for each in (name, other))
    if first is not None and second is not None and first != second:
        text = f"conflicts with {other}, which has another value; allowed: one of the two, or equal values"
        parsed.add_problem(name, text)


def _check_needed(parsed: ParsedSettings) -> None:
    """Add a problem for each setting that is needed and missing."""
    action = parsed.action
    for key in parsed.table.settings:
        if key.is_needed:
            _require_one(parsed, key.name)
        elif action and key.name in action.needs:
            _require_one(parsed, key.name, reason=f", and {action.name} needs it")
    if action and (name := action.audience_id):
        _check_same(parsed, name, "audience_id")
        other = "audience_name" if action.finds_by_name else "audience_id"
        _require_one(parsed, name, "audience_id", other, reason=f", and {action.name} needs it (or {other})")


def _require_one(parsed: ParsedSettings, name: str, *others: str, reason: str = "") -> None:
    """Add a problem if none of these keys is given. The problem names the first."""
    if not parsed.is_given(name, *others):
        allowed = parsed.table.by_name[name].type.allowed
        parsed.add_problem(name, f"missing{reason}; allowed: {allowed}", code="missing")


def _check_restrictions(parsed: ParsedSettings) -> None:
    """Add a problem for each setting that limits the people to send, if the action cannot apply it."""
    action = parsed.action
    for name, key in parsed.unused_keys():
        if action and key.is_restriction(parsed.value(name)) and not key.can_be_unused_by(action):
            parsed.add_problem(name, f"{action.name} cannot apply it; take it out, or choose an action that can")


def _check_expected_name(parsed: ParsedSettings) -> None:
    """Add a problem if the action would give its audience another name than the expected one."""
    action = parsed.action
    if action is None or Scope.NEW_AUDIENCE not in action.scopes:
        return
    name, expected = parsed.value("audience_name"), parsed.value("expected_audience_name")
    is_found_by_id = action.audience_id is not None and parsed.is_given("audience_id", action.audience_id)
    if None not in (name, expected) and name != expected and not is_found_by_id:
        text = f"differs from audience_name, which {action.name} gives to its audience; allowed: the same name"
        parsed.add_problem("expected_audience_name", text)


def _check_several(parsed: ParsedSettings) -> None:
    """Add a problem if neither several ids nor a single one is given, or if both are and contradict each other."""
    if parsed.table.several is None:
        return
    name, name_of_one = parsed.table.several
    ids, single = parsed.value(name), parsed.value(name_of_one)
    _require_one(parsed, name, name_of_one, reason=f" (or {name_of_one})")
    if ids is not None and single is not None and single not in ids:
        parsed.add_problem(name, f"conflicts with {name_of_one}, which is not among them; allowed: one of the two")


def _check_records(parsed: ParsedSettings) -> None:
    """Add problems for settings that do not fit the format of the records."""
    columns, records, action = parsed.value("columns"), parsed.value("records"), parsed.action
    if records is RecordsFormat.ROWS:
        if parsed.value("hash_in") is HashIn.WAREHOUSE:
            text = "the warehouse cannot hash records: rows; allowed: operator, or records: identifiers"
            parsed.add_problem("hash_in", text)
        if action and action.needs_query:
            text = f"{action.name} sends no rows; allowed: {RecordsFormat.IDENTIFIERS.value}"
            parsed.add_problem("records", text)
    elif not set(KEYS_ONLY).isdisjoint((columns or {}).values()):
        allowed = f"allowed: {join_with_or(LISTED)}, or these with records: rows"
        parsed.add_problem("columns", f"{' and '.join(KEYS_ONLY)} are keys of a row; {allowed}")
