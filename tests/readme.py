"""Writes the reference of the command line's README from the commands' own help: `python -m tests.readme`."""

import re
from pathlib import Path

import click

from td_pinterest_op.cli.program import program

README = Path(__file__).parent.parent / "td_pinterest_op" / "cli" / "README.md"
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


if __name__ == "__main__":
    README.write_text(replace_commands(README.read_text()))
