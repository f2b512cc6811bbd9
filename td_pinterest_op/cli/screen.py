"""What the commands print: tables, messages, questions and JSON; plain text when no terminal reads it."""

import contextlib
import io
import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

import click
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.redaction.secret import mask

PROGRAM = "td-pinterest"
# No line is wrapped when a program or a file reads the output.
_ENDLESS = 10_000
_NARROWEST_PROSE = 30

Row = Mapping[str, object]


@contextlib.contextmanager
def prepare_streams() -> Iterator[None]:
    """Within the block, print a question mark for a character that is not in a stream's encoding.

    A closed stream is replaced by an empty one, and one that cannot be written at the end loses what is left.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: PTH123, SIM115 - to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # which Python would meet again at its exit, and print
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def make_console(*, stderr: bool = False) -> Console:
    """Return a console for standard output or standard error. Colours follow NO_COLOR and TERM."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _ENDLESS
    return made


class MessageHandler(logging.Handler):
    """Logging handler that prints the messages of one level on standard error, with secrets masked."""

    def __init__(self, only: int, *, label: str = "") -> None:
        super().__init__()
        self._only = only
        self._label = label

    def emit(self, record: logging.LogRecord) -> None:
        """Print a log record, after the handler's label, if it has the handler's level."""
        if record.levelno == self._only:
            text = Text.assemble((self._label, "bold yellow"), mask(record.getMessage()))
            _print_renderable(make_console(stderr=True), text)


# Whose lines tell a person what a command waits for.
_WAITING = ("treasure_data.job", "mirroring", "pinterest.rate_limit")


@contextlib.contextmanager
def print_waits(*, quiet: bool) -> Iterator[None]:
    """Within the block, print notes on the jobs and rate limits for which the command waits, unless `quiet`."""
    handler = MessageHandler(logging.INFO)
    loggers = [logging.getLogger(f"td_pinterest_op.{name}") for name in _WAITING]
    for logger in () if quiet else loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)


def get_program_name() -> str:
    """Return what to type to run this program, as it was called."""
    path = Path(sys.argv[0])
    if path.parts[-2:] == ("td_pinterest_op", "__main__.py"):
        return f"{Path(sys.executable).name} -m td_pinterest_op"
    is_elsewhere = path.name == PROGRAM and shutil.which(PROGRAM) not in (str(path), str(path.absolute()))
    return shlex.quote(sys.argv[0]) if is_elsewhere else PROGRAM


def print_line(text: str | Text = "", *, indent: int = 0) -> None:
    """Print a line of the result on standard output, perhaps wrapped. `indent`: spaces before all further lines."""
    _print_wrapped(make_console(), text, indent)


def print_note(text: str | Text, *, indent: int = 0) -> None:
    """Print a note, which is no part of the result, on standard error. `indent`: spaces before all further lines."""
    _print_wrapped(make_console(stderr=True), text, indent)


def print_url(url: str) -> None:
    """Print a URL on standard error in one line, so that the user can copy the URL."""
    click.echo(f"\n  {url}\n", err=True)


def print_error(message: str) -> None:
    """Print an error as one paragraph on standard error."""
    text = _name_program(mask(message)).strip()
    end = "" if text.endswith((".", "?")) else "."
    _print_renderable(make_console(stderr=True), Text.assemble(("error: ", "bold red"), text, end))


def print_json(value: object) -> None:
    """Print the result as JSON on standard output."""
    with _explain_write_errors(sys.stdout):
        click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_format_iso_time))


def _format_iso_time(time: datetime) -> str:
    """Return a time in UTC as ISO 8601 text."""
    return f"{time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def print_table(rows: Sequence[Row], *, columns: Sequence[str], prose: Sequence[str] = ()) -> None:
    """Print rows as a table. `columns`: the keys to show. `prose`: the keys whose values may be wrapped.

    Where the terminal is too narrow for the longest values, each row becomes a block of lines instead: ids are there to
    be copied, and a cut id is of no use.
    """
    out = make_console()
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for key in columns:
        texts = [_format_heading(key), *(format_cell(row.get(key)) for row in rows)]
        width = _NARROWEST_PROSE if key in prose else max(map(cell_len, texts))
        is_number = any(isinstance(row.get(key), (int, float)) and not isinstance(row.get(key), bool) for row in rows)
        side: JustifyMethod = "right" if is_number else "left"
        made.add_column(_format_heading(key), justify=side, no_wrap=key not in prose, min_width=width)
    for row in rows:
        made.add_row(*(Text(format_cell(row.get(key))) for key in columns))
    if Measurement.get(out, out.options.update(width=_ENDLESS), made).minimum <= out.width:
        _print_renderable(out, made)
        return
    for row in rows:
        _print_renderable(out, Text(format_cell(row.get(columns[0])), style="bold"))
        _print_pairs(out, ((f"  {_format_heading(key)}", row.get(key)) for key in columns[1:]))


def _format_heading(key: str) -> str:
    """Return the column heading for a key: `customer_list_id` becomes `CUSTOMER LIST`."""
    return (key if key == "id" else key.removesuffix("_id")).replace("_", " ").upper()


def print_properties(row: Row) -> None:
    """Print the properties of one object, such as an audience, one per line: name and value."""
    _print_pairs(make_console(), row.items())


def _print_pairs(out: Console, pairs: Iterable[tuple[str, object]]) -> None:
    """Print pairs of a name and a value on a console, one pair per line, in two columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(name, Text(format_cell(value)))
    _print_renderable(out, grid)


def format_cell(value: object) -> str:
    """Return a value as text for a table: a dash for no value, thousands separators in numbers."""
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str):
        return replace_unprintable(value)
    return ", ".join(map(format_cell, value)) if isinstance(value, list) else str(value)


def replace_unprintable(text: str) -> str:
    """Return a text from elsewhere, such as an audience's name, without characters that control the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _name_program(text: str) -> str:
    """Return a text with the commands in it as the user has to type them."""
    return text.replace(f"`{PROGRAM} ", f"`{get_program_name()} ")


def _print_wrapped(out: Console, text: str | Text, indent: int) -> None:
    """Print text on a console, wrapped to its width. `indent`: spaces before all lines but the first."""
    if isinstance(text, str):
        text = _name_program(text)
    if indent:
        lines = (Text(text) if isinstance(text, str) else text).wrap(out, out.width - indent)
        text = Text(f"\n{' ' * indent}").join(lines)
    _print_renderable(out, text)


def _print_renderable(out: Console, renderable: object) -> None:
    """Print a text or table of rich without trailing spaces. Errors in writing to standard error are ignored."""
    with _explain_write_errors(out.file):
        with out.capture() as capture:
            out.print(renderable)
        click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()), out.file, color=True)


@contextlib.contextmanager
def _explain_write_errors(stream: IO[str]) -> Iterator[None]:
    """Raise WorkflowError if standard output cannot be written, and BrokenPipeError if nobody reads it."""
    try:
        yield
    except OSError as error:
        if stream is sys.stderr:  # what was asked for is done without notes
            return
        if isinstance(error, BrokenPipeError):
            raise
        raise WorkflowError(f"cannot write to standard output ({error.strerror}): it is incomplete") from None


def is_interactive() -> bool:
    """Whether a user at a terminal can answer questions."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def require_terminal(question: str) -> None:
    """Raise click.UsageError, with the question, if there is no terminal at which a user can answer it."""
    if not is_interactive():
        raise click.UsageError(
            f"{question} There is no terminal to answer this question on: use --yes to continue without it"
        )


def ask_yes_no(question: str) -> bool:
    """Ask a yes-or-no question on standard error, so that standard output contains only the result.

    Raises click.UsageError without a terminal.
    """
    require_terminal(question)
    return click.confirm(question, err=True)
