"""What the commands print: tables, messages, questions and JSON; plain text when no terminal reads it."""

import contextlib
import io
import json
import logging
import os
import re
import select
import shlex
import shutil
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.redaction.secret import escape_control_characters, escape_for_message, mask_sensitive_data
from td_pinterest_op.task_runtime.process import flush_or_discard

_MORE_PASTE_WAIT_SECONDS = 0.1
# No line is wrapped when a program or a file reads the output.
_UNLIMITED_WIDTH = 10_000

Row = Mapping[str, object]
StyledText = tuple[str, str]  # a text and its style, such as "bold"


@contextlib.contextmanager
def tolerate_stream_errors() -> Iterator[None]:
    """Within the block, print a question mark for a character that a stream's encoding lacks.

    At its end, discard what is left to write to a stream that nobody reads.
    """
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    for stream in streams:
        stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream in streams:
            flush_or_discard(stream)


def build_console(*, stderr: bool = False) -> Console:
    """Return a console for standard output or standard error. Colours follow NO_COLOR and TERM."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNLIMITED_WIDTH
    return console


# Its lines tell what a command waits for.
_JOB_LOGGER_NAME = "td_pinterest_op.treasure_data.job"


class MessageHandler(logging.Handler):
    """Prints warnings, and notes on jobs, on standard error with secrets masked."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a log record if it is a warning or about a job."""
        label = "warning: " if record.levelno == logging.WARNING else ""
        if label or record.name == _JOB_LOGGER_NAME:
            print_note((label, "bold yellow"), mask_sensitive_data(record.getMessage()))


def replace_program_name(text: str) -> str:
    """Return a text with each `td-pinterest` command written as this program was called."""
    called = Path(sys.argv[0])
    name = "td-pinterest"
    if called.parts[-2:] == ("td_pinterest_op", "__main__.py"):
        name = f"{Path(sys.executable).name} -m td_pinterest_op"
    elif called.name == name and shutil.which(name) != str(called):
        name = shlex.quote(str(called))
    return re.sub(r"\btd-pinterest (?=[a-z])", lambda _: f"{name} ", text)


def print_line(*parts: str | StyledText, stderr: bool = False, hanging_indent: int = 0) -> None:
    """Print a text, wrapped at a terminal, with the control characters in it escaped, except line feeds."""
    out = build_console(stderr=stderr)
    content = Text()
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        lines = replace_program_name(text).split("\n")
        content.append("\n".join(map(escape_control_characters, lines)), style)
    if hanging_indent:
        content = Text(f"\n{' ' * hanging_indent}").join(content.wrap(out, out.width - hanging_indent))
    _print_to(out, content, stderr=stderr)


# Prints what does not belong to the result.
print_note = partial(print_line, stderr=True)


def print_error(message: str) -> None:
    """Print an error message, with secrets masked, on standard error."""
    print_note(("error: ", "bold red"), mask_sensitive_data(message))


def print_json(value: object) -> None:
    """Print the result as JSON in ASCII, with times in UTC as ISO 8601 text."""
    _write_line(
        json.dumps(
            value,
            indent=2,
            default=lambda time: f"{time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        )
    )


def print_table(rows: Sequence[Row], *, columns: Sequence[str], wrappable: Sequence[str] = ()) -> None:
    """Print these columns of rows as a table. `wrappable`: those whose values may be wrapped.

    Where the terminal is too narrow for a table without `wrappable` columns, each row becomes a block of lines: a cut
    id is of no use.
    """
    headings = {key: key.removesuffix("_id").replace("_", " ").upper() for key in columns}
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for key in columns:
        table.add_column(headings[key], no_wrap=key not in wrappable)
    for row in rows:
        table.add_row(*(Text(format_cell(row.get(key))) for key in columns))
    out = build_console()
    if wrappable or out.measure(table, options=out.options.update(width=_UNLIMITED_WIDTH)).maximum <= out.width:
        _print_to(out, table)
        return
    for row in rows:
        print_line((format_cell(row.get(columns[0])), "bold"))
        print_properties({f"  {headings[key]}": row.get(key) for key in columns[1:]})


def print_properties(row: Row) -> None:
    """Print the names and values of an object's properties, one per line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in row.items():
        grid.add_row(name, Text(format_cell(value)))
    _print_to(build_console(), grid)


def format_cell(value: object) -> str:
    """Return a value for a table: a dash for none, thousands separators in numbers."""
    if value in (None, "", [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(format_cell, value)) if isinstance(value, (list, tuple)) else escape_for_message(str(value))


def _print_to(out: Console, content: Text | Table, *, stderr: bool = False) -> None:
    """Print a text or table, without trailing spaces, where the console `out` would."""
    # Not to the stream itself: whether that can be written is judged in one place.
    rendered = io.StringIO()
    out.file = rendered
    out.print(content)
    _write_line("\n".join(line.rstrip() for line in rendered.getvalue().splitlines()), stderr=stderr)


def _write_line(text: str, *, stderr: bool = False) -> None:
    """Write a line. Raises WorkflowError if standard output cannot be written, BrokenPipeError if nobody reads it."""
    try:
        click.echo(text, err=stderr, color=True)
    except OSError as error:
        if stderr:
            return
        if isinstance(error, BrokenPipeError):
            raise
        raise WorkflowError(f"cannot write to standard output ({error.strerror}): it is incomplete") from None


def is_interactive() -> bool:
    """Whether a user at a terminal sees questions and can answer them."""
    return os.isatty(0) and os.isatty(2)


def discard_pasted_lines() -> bool:
    """Discard what was pasted after the line just read, and return whether there was anything.

    A pasted text of several lines would otherwise answer the next questions too.
    """
    found = False
    with contextlib.suppress(OSError, termios.error):
        mode = termios.tcgetattr(0)
        tty.setcbreak(0, termios.TCSANOW)  # also a last line without an end can be read then
        try:
            while select.select([0], [], [], _MORE_PASTE_WAIT_SECONDS)[0] and os.read(0, 1 << 16):
                found = True
        finally:
            termios.tcsetattr(0, termios.TCSANOW, mode)
    return found


def require_terminal(question: str) -> None:
    """Raise click.UsageError if there is no terminal at which a user can answer a question."""
    if not is_interactive():
        raise click.UsageError(
            f"{question} There is no terminal to answer this question on: use --yes to continue without it"
        )


def ask_yes_no(question: str) -> bool:
    """Ask a question on standard error. Return True for yes.

    Raises click.UsageError without a terminal, KeyboardInterrupt at the end of the input.
    """
    require_terminal(question)
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # a run would report it as an error, since it is an Exception
        raise KeyboardInterrupt from None
