"""Writes what pages repeat of the program: `python -m tests.readme`.

docs/command-line.md gets a table of the commands. docs/settings.md gets its tables of settings, grouped by scope: the
meanings are written there by hand and stay.
"""

import re
from collections import defaultdict
from pathlib import Path

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS, Mirror
from td_pinterest_op.cli.program import program
from td_pinterest_op.settings.table import ActionSpec, ConnectionSettings, Setting, find_declared_settings
from td_pinterest_op.settings.types import TableName

ROOT = Path(__file__).parent.parent
COMMANDS = ROOT / "docs" / "command-line.md"
SETTINGS = ROOT / "docs" / "settings.md"
_SECTION = re.compile(r"(<!-- commands: python -m tests\.readme -->\n).*?(<!-- end of commands -->)", re.DOTALL)


def render_commands() -> str:
    """Return a table of all commands: what each does, its first example and its options."""
    rows = ["| command | does | example | options |", "| --- | --- | --- | --- |"]
    for name, command in sorted(program.commands.items()):
        example = re.search(r"^ *(td-pinterest .*)$", command.epilog or "", re.MULTILINE)
        options = [
            min(option.opts, key=lambda opt: opt.count("-") != 2)
            for option in command.params
            if option.opts[0][0] == "-"
        ]
        does = (command.help or "").split("\n\n")[0].replace("\n", " ")
        cells = (
            f"`{name}`",
            " ".join(does.split()),
            f"`{example and example[1]}`",
            " ".join(f"`{opt}`" for opt in options),
        )
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def replace_commands(text: str) -> str:
    """Return the page of the command line with the current commands. Raises ValueError if their marks are missing."""
    text, count = _SECTION.subn(lambda match: f"{match[1]}{render_commands()}\n{match[2]}", text)
    if count != 1:
        raise ValueError("the page has no section of commands")
    return text


_CONNECTION = {key.name for key in find_declared_settings(ConnectionSettings)}
# The settings of Treasure Data's built-in connector and, of this operator's own, those with which an export begins.
_FIRST = {
    *("type", "client_id", "client_secret", "refresh_token", "ad_account_id", "audience_type", "action"),
    *("audience_name", "audience_description", "limit_records_per_request", "ignore_invalid_records"),
    *("retry_count", "retry_initial_wait_millis", "max_retry_wait_millis"),
    *("connection_timeout_secs", "write_timeout_secs", "read_timeout_secs"),
    *("suppress", "consent", "dry_run", "expected_audience_name", "if_exists", "history"),
}


def find_group(key: Setting) -> str:
    """Return the heading of docs/settings.md under which a setting stands."""
    if key.name in _FIRST or key.name.startswith("audience_id"):
        return "First settings"
    if key.name == "report":
        return "The report"
    if key.name in _CONNECTION:
        return "Pace"
    if [each for each in ACTIONS if key.is_used_by(each.action)] == [Mirror]:
        return "The mirror"
    if key.scope == "rows":
        return "Limits" if key.restricts else "Rows and records"
    return "People" if key.scope == "people" else "The audience"


def format_default(setting: Setting) -> str:
    """Return the default as the page shows it, "–" for none."""
    if setting.is_credential:
        return "from the environment"
    default = setting.default
    if isinstance(default, ActionSpec):
        return f"`{default.name}`"
    if isinstance(default, TableName):
        return default.table
    return str(default).lower() if default not in (None, "", {}, ()) else "–"


def format_requirement(setting: Setting) -> str:
    """Return "yes", "no", or the actions that need the setting."""
    if setting.is_needed:
        return "yes"
    if setting.name in {each.action.audience_id for each in ACTIONS} - {"audience_id"}:
        return "for that action"
    actions = [
        f"`{each.action.name}`" for each in ACTIONS if setting.name in (*each.action.needs, each.action.audience_id)
    ]
    if not actions:
        return "no"
    return "for " + ", ".join(sorted(actions)) + (" (or `audience_name`)" if setting.name == "audience_id" else "")


def replace_settings(text: str) -> str:
    """Return docs/settings.md with current tables. Raises KeyError for a setting that has no row with its meaning."""
    meanings = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\| (.+) \|$", text, re.MULTILINE))
    groups = defaultdict(list)
    for key in EXPORT_SETTINGS.settings:
        row = (f"`{key.name}`", format_requirement(key), format_default(key), meanings[key.name])
        groups[find_group(key)].append(f"| {' | '.join(row)} |\n")
    for name, rows in groups.items():
        table = re.compile(rf"(### {name}\n(?:(?!\|).*\n)*\|.*\n\|.*\n)(?:\|.*\n)*")
        match = table.search(text)
        if match is None:
            raise ValueError(f"docs/settings.md has no table {name}")
        text = text[: match.end(1)] + "".join(rows) + text[match.end() :]
    return text


if __name__ == "__main__":
    COMMANDS.write_text(replace_commands(COMMANDS.read_text()))
    SETTINGS.write_text(replace_settings(SETTINGS.read_text()))
