"""`result_settings` of a task in a .dig file: what the operator's parser says, put at the lines of the settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from td_pinterest_op.cli.lint.dig_file import DigFile, Value
from td_pinterest_op.cli.lint.tasks import Task, UnknownError
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings.parse import (
    SETTINGS,
    Action,
    ConnectionSettings,
    action_of,
    parse,
    parse_connection,
    parse_erasure,
    parse_status,
)

_PROBLEM = re.compile(r"- (?P<name>[^:]+): (?P<text>.*)", re.DOTALL)
_VARIABLE = re.compile(r"missing: (?P<name>[A-Z0-9_]+) is (?:missing|empty) in the environment")
_UNUSED = re.compile(r"(?P<action>\S+) does not use these settings: (?P<names>.*)")

# For the value of a secret; no message holds it.
STAND_IN = "0-stand-in-0"

# What a workflow names after `py>:`, and the parser of its settings.
Parser = Callable[..., ConnectionSettings]
PARSERS: Mapping[str, Parser] = {
    "td_pinterest_op.export.PinterestExport": parse,
    "td_pinterest_op.status.AudienceStatus": parse_status,
    "td_pinterest_op.status.AudienceStatus.look": parse_status,
    "td_pinterest_op.erase.PinterestErase": parse_erasure,
    "td_pinterest_op.mirror.Mirror.look": parse_status,
    "td_pinterest_op.mirror.Mirror.send": parse,
    "td_pinterest_op.many.Many.renew": parse_connection,
}
# What completes its settings when it runs: from a list, or from what Audience Studio hands over.
COMPLETED = frozenset(
    {
        "td_pinterest_op.many.Many.export",
        "td_pinterest_op.many.Many.gate",
        "td_pinterest_op.activation.PinterestActivation",
        "td_pinterest_op.activation.PinterestActivation.prepare",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is known of the settings: None where it is wrong, or known only when the workflow runs."""

    action: Action | None = None
    if_exists: str | None = None
    place: Value | None = None  # of the action


def stand_ins() -> dict[str, str]:
    """An environment with every credential."""
    return {f"PINTEREST_{setting.name.upper()}": STAND_IN for setting in SETTINGS if setting.is_credential}


def check_settings(dig: DigFile, task: Task, environ: Mapping[str, str], *, parser: Parser = parse) -> Checked:
    """Note what is wrong with the settings of a task."""
    given = task.value.get("result_settings")
    if given is None:
        dig.find(task.value, "setting", "the task has no result_settings: README shows the least to write")
        return Checked()
    if not isinstance(given.value, dict):
        return _check_text(dig, given, environ, parser)
    _check_secrets(dig, given)
    known, unknown = _known(task, given)
    settings, problems = _parsed(known, environ, parser)
    for name, text in problems:
        if name not in unknown and not ("action" in unknown and text.startswith("missing, and")):
            _note(dig, given, name, text)
    if parser is not parse:
        return Checked()
    place, action = given.get("action"), None if "action" in unknown else action_of(known)
    _check_spelling(dig, place, action)
    for warning in settings.warnings if settings else _warnings(known, action, problems):
        _note_warning(dig, given, warning)
    return Checked(action=action, if_exists=_if_exists(known, unknown), place=place)


def _check_text(dig: DigFile, given: Value, environ: Mapping[str, str], parser: Parser) -> Checked:
    """Settings as one text: they may come from an activation, when the workflow runs."""
    if isinstance(given.value, str) and "${" in given.value:
        return Checked()
    for name, text in _parsed(given.value, environ, parser)[1]:
        dig.find(given, "setting", f"{name}: {text}")
    return Checked()


def _known(task: Task, given: Value) -> tuple[dict[str, object], set[str]]:
    """The settings that are known before a run, and the names of the others."""
    known: dict[str, object] = {}
    unknown = set()
    for name, value in given.mapping.items():
        try:
            filled = task.filled(value)
        except UnknownError:
            filled = ""
        # A template that is blank yet waits for its value in a file of settings: the run itself insists on it.
        if filled == "" and value.value != "":
            unknown.add(name)
        else:
            known[name] = filled
    # What stands there in plain text may be any word: the parser would mask it in every message.
    known |= dict.fromkeys(known.keys() & {setting.name for setting in SETTINGS if setting.is_credential}, STAND_IN)
    for prefix in ("audience_id", "ad_account_id"):  # one of several names will do
        if any(name.startswith(prefix) for name in unknown):
            unknown |= {f"{prefix}s", *(setting.name for setting in SETTINGS if setting.name.startswith(prefix))}
    return known, unknown


def _parsed(
    raw: object, environ: Mapping[str, str], parser: Parser
) -> tuple[ConnectionSettings | None, list[tuple[str, str]]]:
    try:
        return parser(raw, environ=environ), []
    except SettingsError as error:
        lines = re.split(r"\n(?=- )", str(error))
        found = [match for match in map(_PROBLEM.fullmatch, lines) if match]
        return None, [(match["name"], match["text"]) for match in found]


def _if_exists(known: Mapping[str, object], unknown: set[str]) -> str | None:
    return None if "if_exists" in unknown else str(known.get("if_exists") or "fail").strip().lower()


def _warnings(known: Mapping[str, object], action: Action | None, problems: list[tuple[str, str]]) -> tuple[str, ...]:
    """The warnings about settings of which some are wrong: those that remain once the wrong ones are replaced."""
    if action is None or "action" not in known:
        return ()
    wrong = {name for name, _ in problems}
    right = {name: value for name, value in known.items() if name not in wrong}
    least = {"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list"}
    has_id = any(name.startswith("audience_id") for name in right)
    least |= {"audience_name": "-"} if action is Action.CREATE else {} if has_id else {"audience_id": "1"}
    settings, _ = _parsed(least | right, stand_ins(), parse)
    return settings.warnings if settings else ()


def _note(dig: DigFile, given: Value, name: str, text: str) -> None:
    variable = _VARIABLE.match(text)
    code = "env" if variable else "unknown-setting" if text.startswith("is unknown") else "setting"
    dig.find(given.get(name) or given, code, f"{name}: {text}")


def _note_warning(dig: DigFile, given: Value, warning: str) -> None:
    unused = _UNUSED.match(warning)
    if unused is None:
        return  # digits that are lost have a rule of their own
    for name in unused["names"].split(", "):
        message = f"{unused['action']} does not use {name}: take the line out"
        dig.find(given.get(name) or given, "unused-setting", message, error=False)


def _check_spelling(dig: DigFile, place: Value | None, action: Action | None) -> None:
    if place and action and isinstance(place.value, str) and place.value != action.value and "${" not in place.value:
        message = f"this runs, and is written {action.value}"
        dig.find(place, "spelling", message, error=False)


def _check_secrets(dig: DigFile, given: Value) -> None:
    for setting in SETTINGS:
        value = given.get(setting.name) if setting.is_credential else None
        if value is None or value.value in (None, "") or "${" in str(value.value):
            continue
        variable = f"PINTEREST_{setting.name.upper()}"
        message = (
            f"{setting.name} stands here in plain text, for everybody who can read the workflow: take the line out, "
            f"set the secret pinterest.{setting.name}, and add "
            f"`{variable}: ${{secret:pinterest.{setting.name}}}` under _env. Whoever has read it can use it: get a "
            f"new one"
        )
        dig.find(value, "plain-secret", message)
