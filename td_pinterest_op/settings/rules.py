"""Rules about several settings at once. Each adds what is wrong to the problems."""

from td_pinterest_op.identifiers.types import LIST_TYPES, ROW_ONLY_NAMES, join_with_or
from td_pinterest_op.settings.setting import ActionSpec, ParsedSettings


def check_rules(parsed: ParsedSettings) -> None:
    """Copy the values of aliases to their settings, and check the settings against each other."""
    _copy_aliases(parsed)
    _check_order(parsed)
    for key in parsed.table.settings:
        if key.is_needed:
            _require_one(parsed, key.name)
    if parsed.action:
        _check_action(parsed, parsed.action)
    _check_one_or_many_ids(parsed)
    _check_records(parsed)


def _copy_aliases(parsed: ParsedSettings) -> None:
    """Copy the value of each alias to its setting. Adds a problem if both are given and differ."""
    for key in parsed.table.settings:
        if key.alias is not None and key.alias in parsed.given:
            _check_same(parsed, key.name, key.alias)
            if key.name not in parsed.given:  # and is not added: warnings name what the author wrote
                parsed.values[key.name] = parsed.values[key.alias]


def _check_same(parsed: ParsedSettings, name: str, other: str) -> None:
    """Add a problem if two keys for the same setting are given and have different values."""
    first, second = (parsed.values[each] if each in parsed.given else None for each in (name, other))
    if None not in (first, second) and first != second:
        text = f"conflicts with {other}, which has another value; allowed: one of the two, or equal values"
        parsed.add_problem(name, text)


def _check_order(parsed: ParsedSettings) -> None:
    """Add a problem for each setting whose value is larger than that of another setting, its upper bound `at_most`."""
    for lower, key in parsed.table.by_name.items():
        # A lower bound that is a default gives way to the upper one.
        if (upper := key.at_most) and lower in parsed.given:
            low, high = parsed.values[lower], parsed.values[upper]
            if None not in (low, high) and low > high:
                by_default = "" if upper in parsed.given else f"; {upper} is {high} by default"
                parsed.add_problem(upper, f"must not be less than {lower}{by_default}; allowed: {lower} or more")


def _require_one(parsed: ParsedSettings, name: str, *others: str, reason: str = "") -> None:
    """Add a problem with the key `name` if neither that key nor any of the keys `others` was given."""
    if parsed.given.isdisjoint((name, *others)):
        allowed = parsed.table.by_name[name].type.allowed
        parsed.add_problem(name, f"missing{reason}; allowed: {allowed}", code="missing")


def _check_action(parsed: ParsedSettings, action: ActionSpec) -> None:
    """Add problems for settings that the action needs but lacks, and for restrictions that it cannot apply."""
    needed_by = f", and {action.name} needs it"
    for name in action.needs:
        _require_one(parsed, name, reason=needed_by)
    if own := action.audience_id:
        _check_same(parsed, own, "audience_id")
        other = "audience_name" if action.finds_by_name else "audience_id"
        _require_one(parsed, own, "audience_id", other, reason=f"{needed_by} (or {other})")
    for name in parsed.find_unused_keys(action):
        if parsed.table.by_name[name].is_restriction(parsed.values[name], action):
            parsed.add_problem(
                name, f"{action.name} cannot apply this setting: remove it, or choose an action that can"
            )
    name, expected = parsed.values["audience_name"], parsed.values["expected_audience_name"]
    is_found_by_id = own is not None and not parsed.given.isdisjoint(("audience_id", own))
    names_audience = "new audience" in action.scopes and not is_found_by_id
    if names_audience and None not in (name, expected) and name != expected:
        text = f"differs from audience_name, which {action.name} gives to its audience; allowed: the same name"
        parsed.add_problem("expected_audience_name", text)


def _check_one_or_many_ids(parsed: ParsedSettings) -> None:
    """Add a problem if neither a list of ids nor a single id is given, or if both are and contradict each other."""
    for key in parsed.table.settings:
        if key.single:
            ids, single = parsed.values[key.name], parsed.values[key.single]
            _require_one(parsed, key.name, key.single, reason=f" (or {key.single})")
            if None not in (ids, single) and single not in ids:
                text = f"conflicts with {key.single}, which this list does not contain; allowed: one of the two"
                parsed.add_problem(key.name, text)


def _check_records(parsed: ParsedSettings) -> None:
    """Add problems for settings that do not fit the setting `records` (identifiers or rows)."""
    columns, action = parsed.values.get("columns") or {}, parsed.action
    if parsed.values.get("records") != "rows":
        if not set(ROW_ONLY_NAMES).isdisjoint(columns.values()):
            allowed = f"allowed: {join_with_or(LIST_TYPES)}, or these with records: rows"
            parsed.add_problem(
                "columns", f"{' and '.join(ROW_ONLY_NAMES)} can be used only with records: rows; {allowed}"
            )
        return
    if parsed.values.get("hash_in") == "warehouse":
        text = "the warehouse cannot hash identifiers with records: rows; allowed: operator, or records: identifiers"
        parsed.add_problem("hash_in", text)
    if action and action.needs_query:
        text = f"{action.name} cannot send records: rows; allowed: identifiers"
        parsed.add_problem("records", text)
