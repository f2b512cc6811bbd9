"""Writes what pages repeat of the program: `python -m tests.readme`.

docs/command-line.md gets a table of the commands. docs/reference.md gets those of rejection reasons and errors.
docs/settings.md gets its tables of settings: the meanings are written there by hand and stay.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS, Mirror
from td_pinterest_op.cli.commands.explain import ERRORS_BY_NAME, get_meaning
from td_pinterest_op.cli.program import program
from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS
from td_pinterest_op.settings.table import ActionSpec, ConnectionSettings, Setting, find_declared_settings
from td_pinterest_op.settings.types import TableName

ROOT = Path(__file__).parent.parent
COMMANDS = ROOT / "docs" / "command-line.md"
REFERENCE = ROOT / "docs" / "reference.md"
SETTINGS = ROOT / "docs" / "settings.md"


def _render_table(heading: str, rows: Sequence[str]) -> str:
    return "\n".join([heading, re.sub(r"[^|]+", " --- ", heading), *rows])


def render_commands() -> str:
    """Return a table of all commands: what each does, its first example and its options."""
    rows = []
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
    return _render_table("| command | does | example | options |", rows)


def _replace_section(text: str, name: str, content: str) -> str:
    """Return a page with a new section between its marks. Raises ValueError if they are missing."""
    section = re.compile(rf"(<!-- {name}: python -m tests\.readme -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    text, count = section.subn(lambda match: f"{match[1]}{content}\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"the page has no section of {name}")
    return text


def replace_commands(text: str) -> str:
    """Return the page of the command line with the current commands."""
    return _replace_section(text, "commands", render_commands())


def replace_reference(text: str) -> str:
    """Return docs/reference.md with the current reasons and errors."""
    reasons = [
        f"| `{name}` | {reason.meaning} | {f'`{reason.example}`' if reason.example else ''} |"
        for name, reason in REASON_EXPLANATIONS.items()
    ]
    errors = [f"| `{name}` | {error.who} | {get_meaning(error)} |" for name, error in ERRORS_BY_NAME.items()]
    text = _replace_section(text, "reasons", _render_table("| reason | the value | example |", reasons))
    return _replace_section(text, "errors", _render_table("| error | who must act | meaning |", errors))


_CONNECTION = {key.name for key in find_declared_settings(ConnectionSettings)}
# The settings with which an export begins, in the order of the page.
_BASIC = (
    *("type", "ad_account_id", "audience_type", "action", "audience_id", "audience_name", "audience_description"),
    *("expected_audience_name", "if_exists", "ignore_invalid_records", "dry_run", "suppress", "consent", "history"),
)


def find_group(key: Setting) -> str:
    """Return the heading of docs/settings.md under which a setting stands."""
    if key.name in _BASIC:
        return "Basic settings"
    if key.name == "report":
        return "The report"
    if key.name in _CONNECTION or key.name == "limit_records_per_request":
        return "Connection and pace"
    if [each for each in ACTIONS if key.is_used_by(each.action)] == [Mirror]:
        return "The mirror"
    if key.scope == "rows":
        return "Limits" if key.restricts else "Rows and records"
    return "People" if key.scope == "people" else "The audience"


def format_default(setting: Setting) -> str:
    """Return the default as the page shows it, or "required"; "–" for none."""
    if setting.is_credential:
        return "from the environment"
    if setting.is_needed:
        return "required"
    default = setting.default
    if isinstance(default, ActionSpec):
        return f"`{default.name}`"
    if isinstance(default, TableName):
        return f"`{default.table}`"
    return f"`{str(default).lower()}`" if default not in (None, "", {}, ()) else "–"


def format_requirement(setting: Setting) -> str:
    """Return which actions need the setting, as the end of its meaning, or ""."""
    if setting.name in {each.action.audience_id for each in ACTIONS} - {"audience_id"}:
        return " (required by that action, unless `audience_id` is set)"
    actions = [
        f"`{each.action.name}`" for each in ACTIONS if setting.name in (*each.action.needs, each.action.audience_id)
    ]
    if not actions:
        return ""
    alternative = ", unless `audience_name` is set" if setting.name == "audience_id" else ""
    return f" (required by {', '.join(sorted(actions))}{alternative})"


def replace_settings(text: str) -> str:
    """Return docs/settings.md with current tables. Raises KeyError for a setting that has no row with its meaning."""
    section = text.split("\n## Settings\n")[1].split("\n## ")[0]
    meanings = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (.+?)(?: \(required by .+\))? \|$", section, re.MULTILINE))
    groups = defaultdict(list)
    rest = (key.name for key in EXPORT_SETTINGS.settings if key.name not in _BASIC)
    for key in map(EXPORT_SETTINGS.by_name.__getitem__, [*_BASIC, *rest]):
        row = (f"`{key.name}`", format_default(key), meanings[key.name] + format_requirement(key))
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
    REFERENCE.write_text(replace_reference(REFERENCE.read_text()))
    SETTINGS.write_text(replace_settings(SETTINGS.read_text()))
