"""Writes what pages repeat of the program: `python -m tests.readme`.

The command line's README gets each command's help. docs/settings.md gets its tables of settings, grouped by scope: the
meanings are written there by hand and stay.
"""

import re
from collections import defaultdict
from pathlib import Path

import click

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT, Mirror
from td_pinterest_op.cli.program import program
from td_pinterest_op.settings.table import ActionSpec, ConnectionSettings, Setting, find_declared_settings
from td_pinterest_op.settings.types import TableName

ROOT = Path(__file__).parent.parent
README = ROOT / "td_pinterest_op" / "cli" / "README.md"
SETTINGS = ROOT / "docs" / "settings.md"
_SECTION = re.compile(r"(<!-- commands: python -m tests\.readme -->\n).*?(<!-- end of commands -->)", re.DOTALL)
_WIDTH = 100


def render_commands() -> str:
    """Return the help of the program and of every command as Markdown."""
    names = program.context_settings["help_option_names"]
    root = click.Context(program, info_name="td-pinterest", terminal_width=_WIDTH, help_option_names=names)
    parts = [render_help(root)]
    for name, command in sorted(program.commands.items()):
        parts.append(render_help(click.Context(command, info_name=name, parent=root, terminal_width=_WIDTH)))
    return "\n".join(parts)


def render_help(context: click.Context) -> str:
    lines = "\n".join(line.rstrip() for line in context.get_help().splitlines())
    return f"### `{context.command_path}`\n\n```text\n{lines}\n```\n"


def replace_commands(text: str) -> str:
    """Return the command line's README with current commands. Raises ValueError if their marks are missing."""
    text, count = _SECTION.subn(lambda match: f"{match[1]}\n{render_commands()}\n{match[2]}", text)
    if count != 1:
        raise ValueError("the README has no section of commands")
    return text


_RUN = ("dry_run", "history", "report")
_CONNECTION = {key.name for key in find_declared_settings(ConnectionSettings)} | {"type"}


def find_group(key: Setting) -> str:
    """Return the heading of docs/settings.md under which a setting stands."""
    if key.name in _RUN:
        return "The run"
    if key.name in _CONNECTION:
        return "The connection"
    if [each for each in ACTIONS if key.is_used_by(each.action)] == [Mirror]:
        return "The mirror"
    if key.scope == "rows":
        return "Limits" if key.restricts else "Rows and records"
    return "People" if key.scope == "people" else "The action and its audience"


def format_default(setting: Setting) -> str:
    """Return the default as the page shows it, "–" for none."""
    if setting.is_credential:
        return "from the environment"
    default = setting.default
    if isinstance(default, ActionSpec):
        return f"`{default.name}`"
    if isinstance(default, TableName):
        return default.table
    return str(default).lower() if default not in (None, "", {}) else "–"


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
    for key in EXPORT.settings:
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
    README.write_text(replace_commands(README.read_text()))
    SETTINGS.write_text(replace_settings(SETTINGS.read_text()))
